"""Calls and pullbacks of a Keras layer on the backend that Keras uses: eager on torch, compiled on the others.

A call takes inputs, initial states and a mask or None as NumPy arrays. It returns outputs and final states with their
pullback, from their cotangents to those of the weights, the inputs and the initial states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import keras
import numpy as np

__all__ = ["CALLS", "doubles"]

Ran = Callable[..., Any]


class _Call(ABC):
    def __init__(self, layer: Any, weights: list[Any], ran: Ran) -> None:
        self._layer, self._weights, self._ran, self.programs = layer, weights, ran, 0

    @abstractmethod
    def __call__(self, x: Any, first: list[Any], mask: Any, pullback: bool) -> tuple[list[Any], Callable[..., Any]]:
        """The outputs and final states, and their pullback."""

    def _split(self, found: Any) -> tuple[list[Any], Any, list[Any]]:
        count = len(self._weights)
        arrays = [np.array(keras.ops.convert_to_numpy(a)) for a in found]
        return arrays[:count], arrays[count], arrays[count + 1 :]


class _Tensorflow(_Call):
    def __init__(self, layer: Any, weights: list[Any], ran: Ran) -> None:
        super().__init__(layer, weights, ran)
        tf = import_module("tensorflow")

        def run(given: list[Any], mask: Any) -> Any:
            self.programs += 1  # runs once for each trace
            return ran(layer, given[0], given[1:], mask)

        def pull(given: list[Any], mask: Any, cotangents: list[Any]) -> Any:
            sources = [*(v.value for v in weights), *given]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                answer = run(given, mask)
            return tape.gradient(answer, sources, cotangents, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        self._run, self._pull = tf.function(run), tf.function(pull)

    def __call__(self, x: Any, first: list[Any], mask: Any, pullback: bool) -> tuple[list[Any], Callable[..., Any]]:
        tf = import_module("tensorflow")
        given = [tf.constant(a) for a in (x, *first)]
        ragged = None if mask is None else tf.constant(mask)

        def pulled(cotangents: list[Any]) -> Any:
            return self._split(self._pull(given, ragged, [tf.constant(d) for d in cotangents]))

        return [a.numpy() for a in self._run(given, ragged)], pulled


class _Torch(_Call):
    def __call__(self, x: Any, first: list[Any], mask: Any, pullback: bool) -> tuple[list[Any], Callable[..., Any]]:
        torch = import_module("torch")
        given = [torch.tensor(a, requires_grad=pullback) for a in (x, *first)]
        sources = [*(v.value for v in self._weights), *given]
        with torch.set_grad_enabled(pullback):
            answer = self._ran(self._layer, given[0], given[1:], None if mask is None else torch.tensor(mask))

        def pulled(cotangents: list[Any]) -> Any:
            pairs = [(a, torch.tensor(d)) for a, d in zip(answer, cotangents, strict=True) if a.requires_grad]
            found = torch.autograd.grad([a for a, _ in pairs], sources, [d for _, d in pairs], retain_graph=True,
                                        allow_unused=True, materialize_grads=True)  # fmt: skip
            return self._split(found)

        return [a.detach().numpy() for a in answer], pulled


class _Jax(_Call):
    def __init__(self, layer: Any, weights: list[Any], ran: Ran) -> None:
        super().__init__(layer, weights, ran)
        jax = import_module("jax")

        def run(own: Any, x: Any, first: Any, mask: Any) -> Any:
            self.programs += 1  # runs once for each trace
            named = {id(v): a for v, a in zip(weights, own, strict=True)}
            every = [named.get(id(v), v.value) for v in layer.trainable_variables]
            rest = [v.value for v in layer.non_trainable_variables]
            return ran(lambda *args, **options: layer.stateless_call(every, rest, *args, **options)[0], x, first, mask)

        def pull(given: Any, mask: Any, cotangents: Any) -> Any:
            return jax.vjp(lambda own, x, first: run(own, x, first, mask), *given)[1](cotangents)

        self._run, self._pull = jax.jit(run), jax.jit(pull)

    def __call__(self, x: Any, first: list[Any], mask: Any, pullback: bool) -> tuple[list[Any], Callable[..., Any]]:
        own = [v.value for v in self._weights]
        answer = self._run(own, x, first, mask)

        def pulled(cotangents: list[Any]) -> Any:
            with doubles(x.dtype):
                weights, inputs, states = self._pull((own, x, first), mask, cotangents)
            return self._split([*weights, inputs, *states])

        return [np.array(a) for a in answer], pulled


def doubles(dtype: Any) -> AbstractContextManager[Any]:
    """A context in which Keras has float64, if that is the dtype; JAX needs a setting."""
    if keras.backend.backend() != "jax" or np.dtype(dtype) != np.float64:
        return nullcontext()
    enabled: AbstractContextManager[Any] = import_module("jax").enable_x64(True)
    return enabled


CALLS: dict[str, type[_Call]] = {"tensorflow": _Tensorflow, "torch": _Torch, "jax": _Jax}
