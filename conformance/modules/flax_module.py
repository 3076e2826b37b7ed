"""The adapter of Flax nnx: cells under nnx.RNN, and modules with the same call as nnx.RNN.

Rows of different lengths are `seq_lengths`; the carry is (c, h) for an LSTM.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import flax
import jax
import numpy as np
from flax import nnx

from conformance.modules.family import Array, Family, Pull, Ran, Size, States, Tensors
from conformance.modules.naming import placed
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import FLAX

__all__ = ["FlaxModules"]

FUNCTIONS = {name: getattr(nnx, name) for name in ("sigmoid", "tanh", "relu")}
DTYPES = {"f32": "float32", "f64": "float64"}
CARRY = ("c", "h")


class FlaxModules(Family):
    """flax.nnx.Module."""

    framework = "flax"
    kind = nnx.Module
    table = FLAX
    is_compiled = True

    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        taken = inspect.signature(made.__init__).parameters  # the signature of the class hides them
        given = {name: FUNCTIONS.get(value, value) for name, value in options.items() if name in taken}
        dtypes = {name: DTYPES[size.precision] for name in ("dtype", "param_dtype") if name in taken}
        return made(size.inputs, size.width, rngs=nnx.Rngs(0), **dtypes, **given)

    def making(self, precision: str) -> AbstractContextManager[Any]:
        return _doubles(DTYPES[precision])

    def ready(self, thing: Any, size: Size) -> Any:
        if isinstance(thing, nnx.RNNCellBase):
            return nnx.RNN(thing, time_major=True, reverse=size.half == "reverse", keep_order=True, rngs=False)
        return thing

    def directions(self, made: type[Any]) -> tuple[str, ...]:
        return ("forward", "reverse", "bidirectional") if issubclass(made, nnx.RNNCellBase) else ("forward",)

    def halves(self, thing: Any) -> tuple[str, ...]:
        return ("reverse" if getattr(thing, "reverse", False) else "forward",)

    def names(self, thing: Any) -> list[str]:
        return [".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(thing, nnx.Param))]

    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        state = nnx.state(thing, nnx.Param)
        return {name: np.array(_at(state, path)[...]) for name, path in _places(call, thing, row).items()}

    def has_lengths(self, thing: Any) -> bool:
        return "seq_lengths" in inspect.signature(type(thing).__call__).parameters

    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> _Subject:
        return _Subject(thing, _places(call, thing, row))

    def version(self) -> str:
        return f"flax {flax.__version__} on jax {jax.__version__}"


class _Subject:
    def __init__(self, module: Any, places: dict[str, tuple[Any, ...]]) -> None:
        definition, weights, rest = nnx.split(module, nnx.Param, ...)
        self._is_major, self.programs = bool(getattr(module, "time_major", True)), 0

        def run(tensors: Any, inputs: Any, state: Any, lengths: Any) -> Any:
            self.programs += 1  # runs once for each trace
            own = nnx.to_pure_dict(weights)
            for name, path in places.items():
                _put(own, path, tensors[name].reshape(_at(own, path).shape))
            filled = nnx.State(weights)
            nnx.replace_by_pure_dict(filled, own)
            return self._called(nnx.merge(definition, filled, rest), inputs, state, lengths)

        def pull(given: Any, lengths: Any, cotangents: Any) -> Any:
            return jax.vjp(lambda tensors, inputs, state: run(tensors, inputs, state, lengths), *given)[1](cotangents)

        self._run, self._pulled = jax.jit(run), jax.jit(pull)

    def _called(self, module: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        names = [name for name in CARRY if name in state]
        carry = tuple(state[name] for name in names)
        ragged = {} if lengths is None else {"seq_lengths": lengths}
        x = inputs if self._is_major else inputs.swapaxes(0, 1)
        ended, outputs = module(x, initial_carry=carry if len(names) > 1 else carry[0], return_carry=True, **ragged)
        outputs = outputs if self._is_major else outputs.swapaxes(0, 1)
        return outputs, dict(zip(names, ended if len(names) > 1 else [ended], strict=True))

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        given = dict(tensors), inputs, dict(state)
        with _doubles(inputs.dtype):
            outputs, final = self._run(*given, lengths)
        pull = self._pull(given, lengths) if pullback else None
        return Ran(np.array(outputs), {name: np.array(a) for name, a in final.items()}, pull)

    def _pull(self, given: Any, lengths: Array | None) -> Pull:
        def pull(output: Array, states: States) -> Any:
            with _doubles(given[1].dtype):
                found = self._pulled(given, lengths, (output, dict(states)))
            tensors, inputs, first = jax.tree.map(np.array, found)
            return tensors, inputs, first

        return pull


def _doubles(dtype: Any) -> AbstractContextManager[Any]:
    """A context in which JAX has float64, if that is the dtype."""
    enabled: AbstractContextManager[Any] = jax.enable_x64(True)
    return enabled if np.dtype(dtype) == np.float64 else nullcontext()


def _places(call: str, module: Any, row: Layout) -> dict[str, tuple[Any, ...]]:
    """The paths of the parameters by the row's names, below any prefix."""
    given = {".".join(map(str, path)): path for path, _ in nnx.to_flat_state(nnx.state(module, nnx.Param))}
    return {tensor: given[name] for tensor, name in placed(call, list(given), row).items()}


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    _at(tree, path[:-1])[path[-1]] = value
