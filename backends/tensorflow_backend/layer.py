"""A network as a layer of Keras; importing this file lets Keras load models that hold one."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.tensorflow_backend.backend import TensorflowBackend
from backends.tensorflow_backend.sizes import sized, sized_arrays, tensors
from rnnspec import storage
from rnnspec.arrays import Array
from rnnspec.capabilities import DTYPES
from rnnspec.errors import DtypeError, LengthsError, RnnSpecError, ShapeError, UnsupportedError
from rnnspec.kernel import Path
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.stack import backward, forward
from rnnspec.tree import Tree, filled, flat, flat_as, leaves, named_map, tree_map

__all__ = ["NetworkLayer"]

PREFIX = "a mask must hold at each row's first steps, and at no later one"


@keras.saving.register_keras_serializable("rnnspec")
class NetworkLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A network over `(batch, time, feature)`: `(batch, time, features)`, or `(batch, features)` with `Last()`.

    Weights are named as the specification names them, and start as `net.init(seed)`. Its dtype is the backend's
    precision, whatever the policy of the process. A mask must hold at each row's first steps: they are its length.
    Any other raises LengthsError; where XLA compiles the model, which cannot raise, it makes the row NaN.
    Gradients are the derived adjoint; a backend held to `Path.FRAMEWORK` leaves them to TensorFlow, and has all orders.
    With `training=False` nothing is kept for them: who asks for some nevertheless has the network run again.
    """

    def __init__(self, net: Network, backend: TensorflowBackend, seed: int = 0, **options: Any) -> None:
        kind = DTYPES[backend.precision]
        asked = keras.dtype_policies.get(options.pop("dtype", kind)).name
        if asked != kind:
            raise DtypeError("NetworkLayer(...)", f"dtype must be that of the backend's precision, {kind}", asked,
                             "choose it by get_backend('tensorflow', precision=...)")  # fmt: skip
        super().__init__(dtype=kind, **options)
        self.net, self.backend, self.seed, self.supports_masking = net, backend, seed, True
        self._inline = tf.autograph.experimental.do_not_convert(self._traced)
        # A SavedModel would hold every graph of an attribute that is a function of TensorFlow's; a partial is none.
        self._graph = partial(tf.function(self._traced, autograph=False))

    def build(self, input_shape: Any) -> None:
        """Make the weights. Raises ShapeError where the features are not those of the network."""
        if len(input_shape) != 3 or input_shape[-1] != self.net.inputs:
            raise ShapeError("NetworkLayer.build(input_shape)",
                             f"inputs must be (batch, time, feature) with {self.net.inputs} features",
                             f"shape {tuple(input_shape)}", "reshape them")  # fmt: skip
        initial = self.net.init(self.seed)
        for name, w in leaves(initial):
            # An attribute each: TensorFlow's checkpoints and SavedModels find no variable in a container of Keras.
            setattr(self, name, self.add_weight(w.shape, keras.initializers.Constant(w), name=name))
        self.built = True

    def call(
        self, inputs: Array, mask: Array | None = None, initial_state: Tree = None, training: bool | None = None
    ) -> Array:
        """The outputs."""
        return self.with_state(inputs, initial_state, mask, training)[0]

    def with_state(
        self, inputs: Array, initial_state: Tree = None, mask: Array | None = None, training: bool | None = None
    ) -> tuple[Array, Tree]:
        """The outputs and the final state; `initial_state` is such a state, zeros if None."""
        x = tf.convert_to_tensor(inputs, dtype_hint=self.compute_dtype)
        if not self.built:
            self.build(x.shape)
        if x.dtype != self.compute_dtype:
            must = f"inputs must have the layer's dtype {self.compute_dtype}"
            raise _plain(DtypeError("NetworkLayer(...)", must, x.dtype.name,
                                    "convert them, or put an Embedding before class numbers"))  # fmt: skip
        _check_mask(mask)
        params = tree_map(tf.convert_to_tensor, self._weights())
        # A call of a graph inside one that XLA compiles would have it compile for each value of the weights; and
        # TensorFlow's forward mode does not go through a loop of a graph.
        alone = tf.executing_eagerly() and self.backend.path is not Path.FRAMEWORK
        outputs, final = (self._graph if alone else self._inline)(params, x, initial_state, mask, training is not False)
        return outputs, final

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The shape of the outputs."""
        between = () if isinstance(self.net.read, Last) else (input_shape[1],)
        return (input_shape[0], *between, self.net.features)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs: the inputs', where they are over time."""
        return None if isinstance(self.net.read, Last) else mask

    def get_config(self) -> dict[str, Any]:
        """The network as JSON values, from which nothing is executed; initialisers are not among them."""
        own = {name: value for name, value in super().get_config().items() if name != "dtype"}
        path = self.backend.path.value if self.backend.path else None
        held = {"precision": self.backend.precision, "path": path, "recomputes": self.backend.recomputes,
                "every": self.backend.every}  # fmt: skip
        return own | {"network": storage.to_json(self.net), **held, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NetworkLayer:
        """The layer that `get_config` told of."""
        ours = ("network", "precision", "path", "recomputes", "every")
        rest = {name: value for name, value in config.items() if name not in ours}
        backend = TensorflowBackend(precision=config["precision"])
        held = backend.through(Path(config["path"])) if config["path"] else backend
        held = held.recomputing(config["every"]) if config.get("recomputes") else held
        return cls(storage.from_json(config["network"]), held, **rest)

    def save_own_variables(self, store: Any) -> None:
        """The weights by their names."""
        for name, weight in leaves(self._weights()):
            store[name] = weight.numpy()

    def load_own_variables(self, store: Any) -> None:
        """The weights by their names."""
        for name, weight in leaves(self._weights()):
            weight.assign(store[name])

    def _weights(self) -> Tree:
        return named_map(lambda name, _: getattr(self, name), self.net.parameter_shapes())

    def _traced(
        self, params: Tree, inputs: Array, initial_state: Tree, mask: Array | None, keep: bool
    ) -> tuple[Array, Tree]:
        x = tf.transpose(inputs, (1, 0, 2))
        if self.backend.recomputes and x.shape[0] is None:
            raise UnsupportedError(f"{self.name}.call(inputs)", "the time must be known where segments are run again",
                                   f"shape {tuple(inputs.shape)}",
                                   "give an Input with a time, or a backend without recomputing")  # fmt: skip
        steps, batch = tf.shape(x)[0], x.shape[1] or tf.shape(x)[1]
        state = initial_state
        if state is None:
            state = self.net.state_tree(batch, lambda shape: tf.zeros(shape, x.dtype))
        lengths = None if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), 1)
        outputs, final = _network(self.backend, self.net, params, x, state, lengths, keep)
        if not isinstance(self.net.read, Last):
            outputs = tf.transpose(outputs, (1, 0, 2))
        if mask is not None:
            outputs = _checked(outputs, tf.reduce_all(mask == tf.sequence_mask(lengths, steps), 1))
        return outputs, final


def _network(
    backend: TensorflowBackend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    keep: bool,
) -> tuple[Array, Tree]:
    """Outputs and final state, differentiable in parameters, inputs and state; what a pullback needs is kept or not."""
    if None in inputs.shape:
        backend = copy.copy(backend)
        backend.arrays = sized_arrays(backend.arrays)

    def ran(params: Tree, inputs: Array, state: Tree, pullback: bool) -> tuple[Array, Tree, Any]:
        given = (params, inputs, state, lengths)
        p, x, first, ends = map(sized, given) if None in inputs.shape else given
        return forward(backend, net, p, x, first, ends, pullback)

    if backend.path is Path.FRAMEWORK:
        return tensors(ran(params, inputs, state, pullback=False)[:2])  # type: ignore[no-any-return]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def derived(*arrays: Array) -> tuple[list[Array], Any]:
        own, x, first = filled((params, inputs, state), arrays)
        outputs, final, tape = ran(own, x, first, pullback=keep)

        def pull(*cotangents: Array) -> list[Array]:
            given = (own, *filled((outputs, final), cotangents))
            p, *rest = map(sized, given) if None in inputs.shape else given
            kept = tape if keep else ran(own, x, first, pullback=True)[2]
            found = tensors(backward(backend, net, p, kept, *rest))
            return flat_as((own, x, first), found)

        return flat(tensors((outputs, final))), pull

    outputs, *final = derived(*flat((params, inputs, state)))
    return outputs, filled(state, final)


def _check_mask(mask: Any) -> None:
    if mask is None or tf.is_symbolic_tensor(mask):
        return
    given = np.asarray(mask, bool)
    wrong = np.flatnonzero((given[:, 1:] & ~given[:, :-1]).any(1))
    if len(wrong):
        raise _plain(LengthsError("NetworkLayer(...)", PREFIX, f"another in row {wrong[0]}",
                                  "pad rows at their ends"))  # fmt: skip


def _plain(error: RnnSpecError) -> RnnSpecError:
    """The error as it is: Keras would put its report of the arguments into another of its own making."""
    error._keras_call_info_injected = True  # type: ignore[attr-defined]
    return error


def _checked(outputs: Array, prefix: Array) -> Array:
    """The outputs, where the masks of all rows hold at their first steps; XLA leaves the assertion out."""
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(prefix), [PREFIX, prefix])]):
        shape = tf.concat([tf.shape(prefix), tf.ones(tf.rank(outputs) - 1, tf.int32)], 0)
        return tf.where(tf.reshape(prefix, shape), outputs, tf.constant(float("nan"), outputs.dtype))
