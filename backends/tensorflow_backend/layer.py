"""A network as a Keras layer; import this module before Keras loads a model that contains one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.tensorflow_backend.backend import TensorflowBackend
from backends.tensorflow_backend.differentiation import run
from backends.tensorflow_backend.kept import KeptState
from rnnspec import storage
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Path
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError, DtypeError, RnnSpecError, ShapeError, TreeError, UnsupportedError
from rnnspec.interface import classes, validation
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.noise.masks import masks
from rnnspec.output import Last
from rnnspec.running.beginning import begun
from rnnspec.showing import shown
from rnnspec.tree import Tree, filled, flat, flat_as, leaves, named_map, tree_map

__all__ = ["NetworkLayer"]


@keras.saving.register_keras_serializable("rnnspec")
class NetworkLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A network over `(batch, time, feature)`: `(batch, time, features)`, or `(batch, features)` with `Last()`.

    Inputs of an embedding are class numbers `(batch, time)`. In a graph, where they cannot be validated, they are
    clipped to the classes.

    Weights have the network's names, and start as `net.init(seed)`. The dtype is the backend's precision, for any dtype
    policy of Keras. The real steps of a row are those where its mask is true, at any place; outputs at other steps are
    0. With `return_state` a call also returns the final state, as Keras' layers do: its tensors follow the outputs, by
    layer, direction and state in the order of the cell.

    With `stateful` the layer keeps its state between calls, as Keras' own layers do: of a fixed number of rows, neither
    among the weights nor in a file of Keras. A call with an `initial_state` starts there. A network with a layer that
    is not forward raises UnsupportedError.

    Gradients are those of the derived adjoint. With `backend.through(Path.FRAMEWORK)` TensorFlow computes them, to any
    order. With `training=False` a call keeps nothing for gradients; asking for them runs the network again.
    """

    def __init__(
        self, net: Network, backend: TensorflowBackend, seed: int = 0, return_state: bool = False,
        stateful: bool = False, **options: Any,
    ) -> None:
        if stateful:
            validation.forward_only(backend, "as_layer", net)
        if "go_backwards" in options:
            raise _directed()
        kind = DTYPES[backend.precision]
        asked = keras.dtype_policies.get(options.pop("dtype", kind)).name
        if asked != kind:
            raise DtypeError("NetworkLayer(...)", f"dtype must be that of the backend's precision, {kind}", asked,
                             "choose it with get_backend('tensorflow', precision=...)")  # fmt: skip
        super().__init__(dtype=kind, **options)
        self.net, self.backend, self.seed, self.supports_masking = net, backend, seed, True
        self.return_state, self.stateful = return_state, stateful
        self.kept: KeptState | None = None
        if net.has_noise:
            self.supports_jit = False  # XLA has no callbacks, by which masks are drawn
            self.seeds = keras.random.SeedGenerator(seed)
        self._inline = tf.autograph.experimental.do_not_convert(self._traced)
        # A partial, since a SavedModel would store every graph of an attribute that is a TensorFlow function.
        self._graph = partial(tf.function(self._traced, autograph=False))

    def build(self, input_shape: Any) -> None:
        """Create the weights; raises ShapeError where the inputs have another number of features than the network."""
        own = self.net.inputs
        features = () if isinstance(own, Embedding) else (own,)
        if len(input_shape) != 2 + len(features) or tuple(input_shape[2:]) != features:
            must = f"inputs must be (batch, time, feature) with {own} features"
            raise ShapeError("NetworkLayer.build(input_shape)", must if features else "inputs must be (batch, time)",
                             f"shape {tuple(input_shape)}", "reshape them")  # fmt: skip
        if self.stateful:
            self.kept = KeptState(self.net, input_shape[0], self.compute_dtype)
        initial = self.net.init(self.seed)
        for name, w in leaves(initial):
            # One attribute each, since TensorFlow's checkpoints and SavedModels find no variable in a Keras container.
            setattr(self, name, self.add_weight(w.shape, keras.initializers.Constant(w), name=name))
        self.built = True

    def call(
        self, inputs: Array, mask: Array | None = None, initial_state: Tree = None, training: bool | None = None,
        return_state: bool | None = None, resets: Array | None = None, key: Key | None = None,
    ) -> Any:
        """The outputs, and with `return_state` the tensors of the final state.

        `return_state` is the layer's own if None. `initial_state` is a state as `with_state` returns it, or its
        tensors; zeros if None. `resets` (batch, time) is true where a step starts from zeros; at a masked step it has
        no effect. A network with noise has it with a `key`, or where `training` is true, with seeds of the layer's own.
        Raises ArgumentError, DtypeError, ShapeError or TreeError where inputs, mask, state, resets or key do not fit.
        """
        x = tf.convert_to_tensor(inputs, dtype_hint=self.compute_dtype)
        self._check_dtype(x.dtype)
        mask = getattr(inputs, "_keras_mask", None) if mask is None else mask  # Keras passes no mask beside a state
        mask = None if mask is None else _of_shape("mask", tf.cast(mask, tf.bool), x.shape[:2])
        begun = None if resets is None else _of_shape("resets", _true_or_false(resets), x.shape[:2])
        x = self._classes(x, mask)
        params = tree_map(tf.convert_to_tensor, self._weights())
        # XLA would compile a graph called inside its own graph anew for each value of the weights, and TensorFlow's
        # forward mode does not go through the loop of a graph.
        alone = tf.executing_eagerly() and self.backend.path is not Path.FRAMEWORK
        first = self._first(initial_state, params, x.shape[0])
        traced = self._graph if alone else self._inline
        try:
            noise = self._noise(x, key, bool(training))
            outputs, final = traced(params, x, first, mask, begun, training is not False, noise)
        except RnnSpecError as error:
            raise _plain(error)  # noqa: B904  # the same error, marked
        if self.kept is not None:
            self.kept.write(final)
        return (outputs, *flat(final)) if self._gives_state(return_state) else outputs

    def with_state(
        self, inputs: Array, initial_state: Tree = None, mask: Array | None = None, training: bool | None = None,
        resets: Array | None = None, key: Key | None = None,
    ) -> tuple[Array, Tree]:
        """The outputs and the final state as the network's tree; `initial_state` is such a tree, zeros if None."""
        outputs, *final = self(inputs, mask=mask, initial_state=initial_state, training=training, return_state=True,
                               resets=resets, key=key)  # fmt: skip
        return outputs, filled(self.net.state_shapes(0), final)

    def reset_state(self, rows: Any = None) -> None:
        """Begin anew where `stateful`; with `rows` (batch,), only the rows where it is true.

        Raises DtypeError or ShapeError where `rows` is not true or false for each row of the stream.
        """
        if self.kept is not None:
            anew = None if rows is None else _of_shape("rows", _true_or_false(rows, "rows"), (self.kept.batch,))
            self.kept.reset(anew)

    def reset_states(self) -> None:
        """As `reset_state`, under the older name that Keras' layers also have."""
        self.reset_state()

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, initial_state: Any = None, training: Any = None, return_state: Any = None,
        resets: Any = None, key: Any = None,
    ) -> Any:
        """The symbolic outputs of a call."""
        self._check_dtype(tf.as_dtype(inputs.dtype))
        if initial_state is not None:
            self._state(initial_state, inputs.shape[0])
        outputs, *final = (keras.KerasTensor(shape, self.compute_dtype) for shape in self._shapes(inputs.shape))
        return (outputs, *final) if self._gives_state(return_state) else outputs

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The shape of the outputs; with `return_state` the shapes of outputs and state."""
        shapes = self._shapes(input_shape)
        return shapes if self.return_state else shapes[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs: that of the inputs where outputs have time, else None."""
        return None if isinstance(self.net.read, Last) else mask

    def get_config(self) -> dict[str, Any]:
        """The network as JSON values, without initialisers; loading them executes nothing."""
        own = {name: value for name, value in super().get_config().items() if name != "dtype"}
        path = self.backend.path.value if self.backend.path else None
        held = {"precision": self.backend.precision, "path": path, "recomputes": self.backend.recomputes,
                "every": self.backend.every, "chunk": self.backend.chunk}  # fmt: skip
        given = {"seed": self.seed, "return_state": self.return_state, "stateful": self.stateful}
        return own | {"network": storage.to_json(self.net)} | held | given

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NetworkLayer:
        """The layer of the values of `get_config`."""
        ours = ("network", "precision", "path", "recomputes", "every", "chunk")
        rest = {name: value for name, value in config.items() if name not in ours}
        backend = TensorflowBackend(precision=config["precision"])
        held = backend.through(Path(config["path"])) if config["path"] else backend
        held = held.chunking(config["chunk"]) if config.get("chunk") else held
        held = held.recomputing(config["every"]) if config.get("recomputes") else held
        return cls(storage.from_json(config["network"]), held, **rest)

    def save_own_variables(self, store: Any) -> None:
        """The weights by their names; there is none before the layer is built."""
        for name, weight in leaves(self._weights()) if self.built else ():
            store[name] = weight.numpy()

    def load_own_variables(self, store: Any) -> None:
        """The weights by their names; there is none before the layer is built."""
        for name, weight in leaves(self._weights()) if self.built else ():
            weight.assign(store[name])

    @property
    def go_backwards(self) -> bool:
        """Raises UnsupportedError, since keras.layers.Bidirectional reads it, and a network has its own directions."""
        raise _directed()

    def _weights(self) -> Tree:
        return named_map(lambda name, _: getattr(self, name), self.net.parameter_shapes())

    def _check_dtype(self, dtype: tf.DType) -> None:
        """Raise DtypeError where inputs of a dtype do not fit."""
        if isinstance(self.net.inputs, Embedding):
            if not dtype.is_integer:
                raise _plain(DtypeError("NetworkLayer(...)", "inputs must be class numbers, of an integer dtype",
                                        f"dtype {dtype.name}", "convert them with tf.cast(inputs, tf.int32)",
                                        ))  # fmt: skip
        elif dtype != self.compute_dtype:
            must = f"inputs must have the layer's dtype {self.compute_dtype}"
            raise _plain(DtypeError("NetworkLayer(...)", must, dtype.name,
                                    "convert them, or put an Embedding layer before class numbers"))  # fmt: skip

    def _classes(self, x: Array, mask: Array | None) -> Array:
        """Class numbers, looked at where their numbers can be read; other inputs as they are."""
        if not isinstance(self.net.inputs, Embedding) or not self.backend.is_own(x):
            return x
        real = np.ones(x.shape, bool) if mask is None else mask.numpy()
        try:
            return classes.read(self.backend, "NetworkLayer(...)", "inputs", self.net.inputs, x, real)
        except RnnSpecError as error:
            raise _plain(error)  # noqa: B904  # the same error, marked

    def _noise(self, inputs: Array, key: Key | None, training: bool) -> Tree:
        """The masks of a call over (batch, time, feature), drawn in NumPy when the call runs."""
        if key is not None and not isinstance(key, Key):
            raise _plain(ArgumentError("NetworkLayer(...)", "key must be a Key, or None", shown(key),
                                       "write rnnspec.Key(seed)"))  # fmt: skip
        if not self.net.has_noise or (key is None and not training):
            return None
        whole, other = (masks(self.net, Key(0), *sizes) for sizes in ((2, 3), (3, 4)))

        def drawn(seed: Any, steps: Any, batch: Any) -> list[Any]:
            own = key or Key(int(seed[0]) << 32 | int(seed[1]))
            return flat_as(whole, masks(self.net, own, int(steps), int(batch)))

        batch, steps = tf.unstack(tf.shape(inputs)[:2])
        seed = tf.zeros(2, tf.uint32) if key else tf.convert_to_tensor(self.seeds.next())
        found = filled(whole, tf.numpy_function(drawn, [seed, steps, batch], [tf.bool] * len(flat(whole))))
        known = inputs.shape[1], inputs.shape[0]
        tree_map(lambda mask, a, b: mask.set_shape(_sizes(a.shape, b.shape, known)), found, whole, other)
        return found

    def _gives_state(self, asked: bool | None) -> bool:
        return self.return_state if asked is None else asked

    def _shapes(self, input_shape: Any) -> tuple[tuple[Any, ...], ...]:
        """The shapes of the outputs and of the final state's tensors."""
        batch, steps = input_shape[:2]
        between = () if isinstance(self.net.read, Last) else (steps,)
        return (batch, *between, self.net.features), *map(tuple, flat(self.net.state_shapes(batch)))

    def _first(self, given: Any, params: Tree, batch: int | None) -> Tree:
        """The state that a call starts from, None for a first one; raises ShapeError where a stream's rows change."""
        if self.kept is not None and batch not in (None, self.kept.batch):
            raise _plain(ShapeError("NetworkLayer(...)", f"a stateful layer must have {self.kept.batch} rows, as it was"
                                    " built", f"{batch} rows", "make another layer for another batch"))  # fmt: skip
        if given is not None:
            return self._state(given, batch)
        return None if self.kept is None else self.kept.read(self._begun(params, self.kept.batch))

    def _begun(self, params: Tree, batch: Any) -> Tree:
        """The state that rows begin with: zeros, or learned states."""
        unset = self.net.unset_state(batch, lambda shape: tf.zeros(shape, self.compute_dtype))
        return begun(self.backend.arrays, self.net, params, unset, batch)

    def _state(self, given: Any, batch: int | None) -> Tree:
        """A state as the network's tree, from such a tree or from Keras' list of tensors."""
        shapes = self.net.state_shapes(batch)  # type: ignore[arg-type]  # None where a graph does not know
        parts = list(given) if isinstance(given, list | tuple) else [given]
        if not any(isinstance(part, Mapping) for part in parts):
            if len(parts) != len(flat(shapes)):
                raise _plain(TreeError("NetworkLayer(...)", f"initial_state must have {len(flat(shapes))} tensors",
                                       f"{len(parts)}",
                                       "give the state of with_state, or the tensors of return_state"))  # fmt: skip
            return tree_map(partial(_of_shape, "initial_state"), filled(shapes, parts), shapes)
        wanted, found = dict(leaves(shapes)), dict(leaves(parts))
        if found.keys() != wanted.keys():
            raise _plain(TreeError("NetworkLayer(...)", f"initial_state must have the names {', '.join(wanted)}",
                                   ", ".join(found), "give the state of with_state"))  # fmt: skip
        return named_map(lambda name, shape: _of_shape(f"initial_state.{name}", found[name], shape), shapes)

    def _traced(
        self, params: Tree, inputs: Array, initial_state: Tree, mask: Array | None, resets: Array | None, keep: bool,
        noise: Tree = None,
    ) -> tuple[Array, Tree]:
        order = None if mask is None else tf.argsort(tf.cast(~mask, tf.int32), 1, stable=True)
        x, again = _in_front(order, inputs), None if resets is None else _in_front(order, resets)
        if self.backend.recomputes and x.shape[0] is None:
            raise UnsupportedError(f"{self.name}.call(inputs)", "the time must be known for a backend with recomputing",
                                   f"shape {tuple(inputs.shape)}",
                                   "give keras.Input a fixed time, or use a backend without recomputing")  # fmt: skip
        batch = x.shape[1] or tf.shape(x)[1]
        state = initial_state
        if state is None:
            state = self._begun(params, batch)
        lengths = None if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), 1)
        outputs, final = run(self.backend, self.net, params, x, state, lengths, again, keep, noise)
        if isinstance(self.net.read, Last):
            return outputs, final
        outputs = tf.transpose(outputs, (1, 0, 2))
        if order is not None:
            outputs = tf.gather(outputs, tf.argsort(order, 1), axis=1, batch_dims=1)
        return outputs, final


def _sizes(shape: tuple[int, ...], other: tuple[int, ...], known: Any) -> list[int | None]:
    """The shape of a mask, where steps and rows, which two calls had different numbers of, are those of this call."""
    return [a if a == b else known[axis] for axis, (a, b) in enumerate(zip(shape, other, strict=True))]


def _directed() -> UnsupportedError:
    return UnsupportedError("NetworkLayer(...)", "the layers of a network must give its direction", "go_backwards",
                            "instead of keras.layers.Bidirectional write Layer(..., direction='bidirectional')",
                            )  # fmt: skip


def _in_front(order: Array | None, array: Array) -> Array:
    """An array (batch, time, ...) with each row's real steps moved to its front, and then with time first."""
    moved = array if order is None else tf.gather(array, order, axis=1, batch_dims=1)
    return tf.transpose(moved, (1, 0, *range(2, len(array.shape))))


def _true_or_false(given: Any, what: str = "resets") -> Array:
    """The resets, or rows, as a tensor; raises DtypeError where they hold something else than true and false."""
    found = tf.convert_to_tensor(given)
    if found.dtype != tf.bool:
        raise _plain(DtypeError("NetworkLayer(...)", f"{what} must be true or false", f"dtype {found.dtype.name}",
                                f"convert them with tf.cast({what}, tf.bool)"))  # fmt: skip
    return found


def _of_shape(what: str, array: Array, shape: Any) -> Array:
    """The array itself; raises ShapeError where its shape, as far as a graph knows it, differs."""
    found = tuple(array.shape)
    if not tf.TensorShape(found).is_compatible_with(shape):
        raise _plain(ShapeError("NetworkLayer(...)", f"{what} must have the shape {tuple(shape)}", f"shape {found}",
                                "reshape it"))  # fmt: skip
    return array


def _plain(error: RnnSpecError) -> RnnSpecError:
    """The error, marked so that Keras does not wrap it into its own with a report of the arguments."""
    error._keras_call_info_injected = True  # type: ignore[attr-defined]
    return error
