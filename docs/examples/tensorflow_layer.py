"""Trains a Keras layer on the workers of TF_CONFIG, and goes on from TensorFlow's last checkpoint if there is one."""

import keras
import tensorflow as tf
from tensorflow_workers import NET, STEPS, batch

import rnnspec
from rnnspec.tree import leaves, named_map

strategy = tf.distribute.MultiWorkerMirroredStrategy()
be = rnnspec.get_backend("tensorflow").across(strategy)
rank, size = be.group.rank, be.group.size
with strategy.scope():
    layer = be.as_layer(NET, seed=0)
    layer.build((None, None, 1))
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    optimizer.build(layer.trainable_variables)
checkpoint = tf.train.Checkpoint(layer=layer, optimizer=optimizer)
manager = tf.train.CheckpointManager(checkpoint, "checkpoints", max_to_keep=2)
manager.restore_or_initialize()


@tf.function
def train(x, labels, mask):
    def replica(x, labels, mask):
        with tf.GradientTape() as tape:
            each = keras.losses.sparse_categorical_crossentropy(labels, layer(x, mask=mask), from_logits=True)
            loss_sum = tf.reduce_sum(tf.where(mask, each, 0.0))
            # Keras' optimizers add up the gradients of the replicas, so that the size must go out again.
            loss = be.mean_loss(loss_sum, tf.math.count_nonzero(mask)) / size
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        return tf.distribute.get_replica_context().all_reduce("sum", loss)

    return strategy.run(replica, (x, labels, mask))


for step in range(int(optimizer.iterations.numpy()), STEPS):
    x, labels, lengths = batch(step)
    mine = slice(rank, None, size)
    mask = tf.sequence_mask(lengths[mine], len(x))
    loss = train(tf.constant(x[:, mine].swapaxes(0, 1), tf.float32), tf.constant(labels[:, mine].T), mask)
    if rank == 0:
        manager.save()
        print(f"step {step + 1}: {float(loss):.4f}", flush=True)

if rank == 0:  # from Keras to one file of rnnspec
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    rnnspec.save("trained.safetensors", NET, named_map(lambda name, _: weights[name], NET.parameter_shapes()))
    _, params = rnnspec.load("trained.safetensors")  # and back
    layer.set_weights([dict(leaves(params))[weight.name] for weight in layer.weights])
