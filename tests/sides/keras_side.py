"""Keras: layers are called one after the other with masks and states, gradients are those of TensorFlow's tape."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import keras
import numpy as np
import pytest
from conversions import Answer, Sizes, network_gradients, networks, stacks
from hypothesis import strategies as st

from rnnspec import Last
from rnnspec.convert import Note, from_keras, to_keras
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import KERAS
from rnnspec.tree import tree_map
from sides import Options

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("gradients are taken with TensorFlow's tape", allow_module_level=True)

TABLE, PRECISION, DIRECTIONS = KERAS, "f64", ("forward", "bidirectional", "reverse")
SIZES = BUILT_SIZES = Sizes(shortest=1)
"""What Keras gives for a row of length 0 is not promised."""
WEIGHTS = ("kernel", "recurrent_kernel", "bias")
write, read = to_keras, from_keras


def writable(row):
    return stacks(row, TABLE, DIRECTIONS, SIZES).map(direct)


def buildable(row):
    return networks([row.cell], DIRECTIONS, SIZES).map(direct)


def options(row):
    return st.builds(Options, st.booleans())


def direct(net):
    """Only the last layer, read with Last(), can be reverse."""
    last = len(net.layers) - 1 if isinstance(net.read, Last) else None
    layers = [replace(layer, direction="forward") if layer.direction == "reverse" and i != last else layer
              for i, layer in enumerate(net.layers)]  # fmt: skip
    return replace(net, layers=layers)


def built(case, row, options):
    net, layers = case.net, []
    for i, layer in enumerate(net.layers):
        every = i < len(net.layers) - 1 or not isinstance(net.read, Last)
        own = getattr(keras.layers, row.kind)(
            layer.state_sizes["h"], return_sequences=every, use_bias=options.bias, dtype="float64",
            go_backwards=layer.direction == "reverse", **row.options)  # fmt: skip
        both = layer.direction == "bidirectional"
        layers.append(keras.layers.Bidirectional(own, dtype="float64") if both else own)
    head = [keras.layers.Dense(net.features, use_bias=options.bias, dtype="float64")] if net.output else []
    model = keras.Sequential([keras.Input((None, net.inputs), dtype="float64"), *layers, *head])
    rng = np.random.default_rng(case.seed)
    model.set_weights([rng.uniform(-0.7, 0.7, w.shape) for w in model.get_weights()])
    notes = set() if options.bias else {Note.NO_BIAS}
    notes |= {Note.SUMMED_BIASES} if options.bias and row.repeated else set()
    return model, from_keras(model), notes | {Note.BATCH_FIRST}


def ask(model, question):
    net, g = question.net, question.given
    *layers, head = model.layers if net.output else (*model.layers, None)
    rows = [layout_for(KERAS, layer.cell) for layer in net.layers]
    inputs, state = tf.constant(g.inputs.swapaxes(0, 1)), tree_map(tf.constant, g.state)
    owners = [[half.cell for half in halves(layer)] for layer in layers]
    weights = [[[getattr(cell, name).value for name in WEIGHTS if getattr(cell, name) is not None] for cell in own]
               for own in owners]  # fmt: skip
    ends = [v.value for v in head.trainable_variables] if head else []
    with tf.GradientTape() as tape:
        tape.watch([inputs, state])
        outputs, final = run(layers, rows, net, inputs, state, g.lengths)
        outputs = head(outputs) if head else outputs
        outputs = in_our_layout(net, outputs, g.lengths)
        parts = [(outputs, g.output_cotangent)]
        tree_map(lambda end, d: parts.append((end, d)), final, g.state_cotangent)
        value = sum(tf.reduce_sum(a * d) for a, d in parts)
    dx, first, found, heads = tape.gradient(value, [inputs, state, weights, ends])
    tensors = [{half: named(own) for half, own in zip(layer.halves, grads, strict=True)}
               for layer, grads in zip(net.layers, found, strict=True)]  # fmt: skip
    own = dict(zip("Wb", (np.array(heads[0]).T, *map(np.array, heads[1:])), strict=False)) if heads else None
    return Answer(np.array(outputs), tree_map(np.array, final), network_gradients(rows, tensors, own),
                  np.array(dx).swapaxes(0, 1), tree_map(np.array, first))  # fmt: skip


def ask_built(model, question, row, options):
    return ask(model, question)


def run(layers, rows, net, inputs, state, lengths):
    """The steps through all layers, with the mask that each passes on, and the states after them."""
    mask = None if lengths is None else np.arange(inputs.shape[1]) < lengths[:, None]
    values, final = inputs, []
    for layer, row, own, first in zip(layers, rows, net.layers, state, strict=True):
        for part in {layer, *halves(layer)}:
            part.return_state = True
        given = [first[half][name] for half in own.halves for name in row.states]
        values, *ends = layer(values, mask=mask, initial_state=given)
        left = iter(ends)
        final.append({half: {name: next(left) for name in row.states} for half in own.halves})
    return values, final


def in_our_layout(net, outputs, lengths):
    if isinstance(net.read, Last):
        return outputs
    outputs = tf.transpose(outputs, (1, 0, 2))
    if lengths is None:
        return outputs
    return tf.where((np.arange(len(outputs))[:, None] < lengths)[..., None], outputs, tf.zeros_like(outputs))


def halves(layer):
    both = isinstance(layer, keras.layers.Bidirectional)
    return (layer.forward_layer, layer.backward_layer) if both else (layer,)


def named(grads):
    found = {name: np.array(a) for name, a in zip(WEIGHTS, grads, strict=False)}
    return found | ({"bias": found["bias"].reshape(-1)} if "bias" in found else {})


def options_of(kind):
    """Those of the constructor, and of what it hands on those that bear on a recurrent layer."""
    own = set(signature(getattr(keras.layers, kind)).parameters) - {"kwargs"}
    return own | {"trainable", "zero_output_for_mask"}


def part(kind, chosen):
    layer = getattr(keras.layers, kind)(**{"units": 4} | chosen)
    layer.build((2, 5, 3))
    return from_keras(layer)
