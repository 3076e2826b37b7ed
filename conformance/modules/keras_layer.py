"""The adapter of Keras 3, on any of its backends: layers are called as Keras calls its own recurrent layers.

Arrays are (batch, time, feature), rows of different lengths are masks; a layer returns its sequences and its states.
A cell runs in keras.layers.RNN.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
import numpy as np

from conformance.modules.family import Array, Family, Pull, Ran, Size, States, Tensors
from conformance.modules.keras_calls import CALLS, doubles
from conformance.modules.naming import placed
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import KERAS
from rnnspec.errors import ArgumentError

__all__ = ["KerasLayers"]

DTYPES = {"f32": "float32", "f64": "float64"}
WHOLE = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}
"""The options with which a layer returns all steps and states."""
CELLS = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)
"""The cells of Keras; they and other cells run in keras.layers.RNN."""
MATRICES = "WU"
"""The kinds of maps that are matrices."""


class KerasLayers(Family):
    """keras.layers.Layer."""

    framework = "keras"
    kind = keras.layers.Layer
    table = KERAS

    def __init__(self) -> None:
        self.has_gradients = keras.backend.backend() in CALLS
        self.is_compiled = keras.backend.backend() != "torch"

    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        if isinstance(made, type) and issubclass(made, CELLS):
            return made(size.width, **options)
        if not _is_own(made):
            return made(size.width)
        return made(size.width, go_backwards=size.half == "reverse", **WHOLE, **options)

    def directions(self, made: type[Any]) -> tuple[str, ...]:
        is_run = _is_own(made) or issubclass(made, CELLS)
        return ("forward", "reverse", "bidirectional") if is_run else ("forward",)

    def halves(self, thing: Any) -> tuple[str, ...]:
        if isinstance(thing, keras.layers.Bidirectional):
            return ("forward", "reverse")
        return ("reverse" if getattr(thing, "go_backwards", False) else "forward",)

    def names(self, thing: Any) -> list[str]:
        return [v.path.replace("/", ".") for v in thing.trainable_weights]

    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        places = _places(call, _half(thing, half), row)
        return {name: _stored(row, name, keras.ops.convert_to_numpy(v)) for name, v in places.items()}

    def has_lengths(self, thing: Any) -> bool:
        return "mask" in inspect.signature(thing.call).parameters

    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> _Subject:
        for option in ("return_sequences", "return_state"):
            if not getattr(thing, option, True):
                raise ArgumentError(call, f"{option} must be True", "False",
                                    "set it: the suite tests all steps and states")
        return _Subject(thing, row, size, _places(call, _half(thing, size.half), row))

    def making(self, precision: str) -> AbstractContextManager[Any]:
        return _policy(DTYPES[precision])

    def ready(self, thing: Any, size: Size) -> Any:
        if _is_cell(thing):
            thing = keras.layers.RNN(thing, go_backwards=size.half == "reverse", dtype=thing.dtype_policy, **WHOLE)
        if not thing.built:
            thing.build((None, None, size.inputs))
        return thing

    def own_precisions(self, thing: Any) -> tuple[str, ...]:
        return tuple(name for name, dtype in DTYPES.items() if dtype == thing.compute_dtype)

    def environment(self) -> dict[str, str]:
        return {"KERAS_BACKEND": keras.backend.backend()}

    def version(self) -> str:
        return f"keras {keras.__version__} on {keras.backend.backend()}"


class _Subject:
    def __init__(self, layer: Any, row: Layout, size: Size, places: dict[str, Any]) -> None:
        self._row, self._places = row, places
        self._is_both = isinstance(layer, keras.layers.Bidirectional)
        self._flipped = size.half == "reverse" and not self._is_both
        self._index = int(size.half == "reverse")
        self._call = CALLS[keras.backend.backend()](layer, list(self._places.values()), self._ran)

    @property
    def programs(self) -> int:
        return int(self._call.programs)

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        mask = None if lengths is None else np.arange(len(inputs)) < lengths[:, None]
        names = list(state)
        with doubles(inputs.dtype):
            for name, place in self._places.items():
                place.assign(tensors[name].reshape(place.shape))
            (outputs, *final), pulled = self._call(inputs, list(state.values()), mask, pullback)
        return Ran(outputs, dict(zip(names, final, strict=True)), self._pull(names, pulled) if pullback else None)

    def _ran(self, call: Callable[..., Any], x: Any, first: list[Any], mask: Any) -> list[Any]:
        """The outputs in time order and the final states, by operations of Keras that its backend differentiates."""
        swapped = keras.ops.swapaxes(x, 0, 1)
        states = [keras.ops.zeros_like(s) for s in first] if self._is_both else []
        given = [*states, *first] if self._index else [*first, *states]
        outputs, *final = call(swapped, mask=mask, initial_state=given)
        outputs = keras.ops.flip(outputs, 1) if self._flipped else outputs
        if self._is_both:
            outputs = keras.ops.split(outputs, 2, -1)[self._index]
            final = final[self._index * len(first) :][: len(first)]
        return [keras.ops.swapaxes(outputs, 0, 1), *final]

    def _pull(self, names: list[str], pulled: Callable[[list[Array]], Any]) -> Pull:
        def pull(output: Array, states: States) -> Any:
            weights, inputs, first = pulled([output, *(states[name] for name in names)])
            tensors = {name: _stored(self._row, name, a) for name, a in zip(self._places, weights, strict=True)}
            return tensors, inputs, dict(zip(names, first, strict=True))

        return pull


@contextmanager
def _policy(dtype: str) -> Iterator[None]:
    """A context that sets the precision of inner layers."""
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        with doubles(dtype):
            yield
    finally:
        keras.config.set_dtype_policy(kept)


def _is_own(made: Any) -> bool:
    return isinstance(made, type) and issubclass(made, keras.layers.RNN)


def _is_cell(layer: Any) -> bool:
    """Whether a layer computes one step, which keras.layers.RNN repeats."""
    return hasattr(layer, "state_size") and not isinstance(layer, keras.layers.RNN)


def _half(layer: Any, half: str) -> Any:
    if isinstance(layer, keras.layers.Bidirectional):
        return layer.forward_layer if half == "forward" else layer.backward_layer
    return layer


def _stored(row: Layout, name: str, a: Array) -> Array:
    """The array in the shape of the tables, where a bias of two rows, as of a GRU, has one axis."""
    return a if row.tensors[name].lstrip("(")[0] in MATRICES else a.reshape(-1)


def _places(call: str, layer: Any, row: Layout) -> dict[str, Any]:
    given = {v.path.replace("/", "."): v for v in layer.trainable_weights}
    return {tensor: given[name] for tensor, name in placed(call, list(given), row).items()}
