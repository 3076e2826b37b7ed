"""Truncated backpropagation through time with two lengths: losses every k1 steps, gradients back over k2 steps.

>>> from rnnspec.windows import Windows
>>> Windows(every=2, back=3).of(5)
((0, 0, 2), (1, 2, 4), (3, 4, 5))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Gradients, Step
from rnnspec.control.recurrence import trace_hook
from rnnspec.embedding import Embedding
from rnnspec.errors import NetworkError
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.output import Last
from rnnspec.showing import shown
from rnnspec.tree import Tree, tree_map
from rnnspec.workers.sums import among_all, key_of_rows

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """BPTT(k2; k1) of Williams and Peng (1990), section 4: `every` is k1, `back` is k2, at least k1.

    The sequence is divided into chunks of k1 steps; the last may be shorter. Let e = k1, 2 k1, ... be the end of a
    full chunk. The gradient of the losses in the chunk, at the steps in (e - k1, e], goes back to step e - k2 and no
    further; values flow on. For a shorter last chunk, e is where a full one would end, so padding changes nothing.
    With k2 as long as the sequence this is full backpropagation; with k2 = k1 it is that of `Truncated(k1)`. Raises
    NetworkError unless back >= every >= 1.
    """

    every: int
    back: int

    def __post_init__(self) -> None:
        for name, number, least in (("every", self.every, 1), ("back", self.back, self.every)):
            if type(number) is not int or number < least:
                raise NetworkError(f"Windows({name}=...)", f"{name} must be a whole number of at least {least}",
                                   shown(number), "give back >= every >= 1")  # fmt: skip

    def of(self, steps: int) -> tuple[tuple[int, int, int], ...]:
        """For each chunk: the first step of its window, its own first step, and its end."""
        return tuple((max(0, begin + self.every - self.back), begin, min(begin + self.every, steps))
                     for begin in range(0, steps, self.every))  # fmt: skip

    def value_and_grad(
        self, backend: Backend, net: Network, params: Tree, inputs: Any, targets: Any, state: Tree = None,
        lengths: Any = None, resets: Any = None, key: Key | None = None,
    ) -> Step:
        """The loss, its count and the sums of the windows' gradients, in the form of `Backend.value_and_grad`.

        With a `key` each window has the noise of its own steps. Memory grows with k2; only the inputs and their
        gradient are as long as the sequence. Raises NetworkError where a layer does not run forward in time, or has a
        policy with the hook `carry`, since windows cut those edges.
        """
        own = key_of_rows(backend, key, inputs)
        given = (net, params, inputs, targets, state, lengths, resets, own)
        return among_all("Windows.value_and_grad(...)", backend, net, partial(self._gradients, backend.alone, *given))

    def _gradients(
        self, backend: Backend, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree, lengths: Array,
        resets: Array, key: Key | None,
    ) -> Step:
        """`value_and_grad` of one worker's rows."""
        _check(net)
        given = validation.arguments(backend, "value_and_grad", net, params, inputs, state, lengths, True, resets)
        validation.targets(backend, "value_and_grad", net, given, targets, lengths)
        if 0 in inputs.shape[:2]:
            return backend.value_and_grad(net, params, inputs, targets, state, lengths)
        ends = None if lengths is None else validation.host_lengths(backend, lengths)
        sequence = _Sequence(backend, net, given[0], _host(backend, inputs), _host(backend, targets), ends,
                             _host(backend, resets), key)  # fmt: skip
        return _summed(sequence, self.of(inputs.shape[0]), None if state is None else given[2])


@dataclass(frozen=True)
class _Sequence:
    """A sequence on the host, which a backend gets part by part."""

    backend: Backend
    net: Network
    params: Tree
    inputs: Any
    targets: Any
    ends: Any
    resets: Any
    key: Key | None = None

    def run(self, begin: int, end: int, state: Tree) -> Tree:
        """The state after a part."""
        return self.backend.run(self.net, self.params, self.inputs[begin:end], state, self._lengths(begin, end),
                                **self._more(begin, end)).state  # fmt: skip

    def step(self, begin: int, end: int, state: Tree) -> Step:
        """The losses of a part, and their gradients within it."""
        call, more = self.backend.value_and_grad, self._more(begin, end)
        if not isinstance(self.net.read, Last):
            return call(self.net, self.params, self.inputs[begin:end], self.targets[begin:end], state,
                        self._lengths(begin, end), **more)  # fmt: skip
        ends = np.full(self.inputs.shape[1], len(self.inputs)) if self.ends is None else self.ends
        here = np.where((begin < ends) & (ends <= end), ends - begin, 0)
        found = call(self.net, self.params, self.inputs[begin:end], self.targets, state, here, **more)
        return replace(found, state=self.run(begin, end, state))

    def pull(self, begin: int, end: int, state: Tree, cotangent: Tree) -> Gradients:
        """The gradients of a part without losses, from the cotangent of its last state."""
        shape = validation.output_shape(self.net, end - begin, self.inputs.shape[1])
        return self.backend.pullback(self.net, self.params, self.inputs[begin:end], self.backend.zeros(shape),
                                     cotangent, state, self._lengths(begin, end),
                                     **self._more(begin, end))  # fmt: skip

    def _lengths(self, begin: int, end: int) -> Any:
        return None if self.ends is None else np.clip(self.ends - begin, 0, end - begin)

    def _more(self, begin: int, end: int) -> dict[str, Any]:
        """The arguments of a part's resets and noise, left out where there are none."""
        resets = {} if self.resets is None else {"resets": self.resets[begin:end]}
        return resets if self.key is None else {**resets, "key": self.key.at(step=begin)}


class _Pulled:
    """The sum of the windows' gradients of the inputs, on the host; there are none of class numbers."""

    def __init__(self, backend: Backend, shape: tuple[int, ...] | None) -> None:
        self.backend = backend
        self.sum = None if shape is None else np.zeros(shape, np.float64 if backend.precision == "f64" else np.float32)

    def add(self, begin: int, end: int, found: Array) -> None:
        """Add the gradient of a part."""
        if self.sum is not None:
            self.sum[begin:end] += self.backend.to_numpy(found)

    def found(self) -> Array:
        """The sum as the backend's own array."""
        return None if self.sum is None else self.backend.from_numpy(self.sum)


def _summed(sequence: _Sequence, windows: tuple[tuple[int, int, int], ...], state: Tree) -> Step:
    backend, inputs, count = sequence.backend, sequence.inputs, 0
    pulled = _Pulled(backend, None if isinstance(sequence.net.inputs, Embedding) else inputs.shape)
    sums: list[Tree] = []
    first: list[Tree] = []
    behind = state
    for (far, begin, end), (after, _, _) in zip(windows, (*windows[1:], windows[-1]), strict=True):
        step = sequence.step(begin, end, state)
        parts = [(begin, end, step.grads)]
        if far < begin:
            parts.append((far, begin, sequence.pull(far, begin, behind, step.grads.state)))
        for low, high, found in parts:
            pulled.add(low, high, found.inputs)
        _add(backend, sums, {"loss_sum": step.loss_sum, "params": step.grads.params})
        for _, _, found in parts[1:]:
            _add(backend, sums, {"loss_sum": backend.zeros(()), "params": found.params})
        if far == 0:
            _add(backend, first, parts[-1][2].state)
        count, state = count + step.count, step.state
        behind = state if after == end else sequence.run(far, after, behind) if after > far else behind
    whole, begun = tree_map(backend.narrow, sums[0]), tree_map(backend.narrow, first[0])
    return Step(whole["loss_sum"], count, Gradients(whole["params"], pulled.found(), begun), state)


def _add(backend: Backend, sums: list[Tree], tree: Tree) -> None:
    """Add a tree to the sum, as wide numbers and in a program, since a framework may round differently outside."""
    sums[:] = [backend.program(_added)(sums[0], tree)[0] if sums else tree]


def _added(backend: Backend, first: Tree, second: Tree) -> tuple[Tree, Tree]:
    return tree_map(lambda a, b: backend.wide(a) + backend.wide(b), first, second), None


def _host(backend: Backend, array: Any) -> Array:
    return backend.to_numpy_array(array) if backend.is_own(array) and not isinstance(array, np.ndarray) else array


def _check(net: Network) -> None:
    if isinstance(net, Network) and net.loss is not None and net.loss.aligned:
        raise NetworkError("Windows.value_and_grad(...)", "the loss must be a sum over steps", str(net.loss),
                           "cut the edges with Truncated(k) instead")  # fmt: skip
    for i, layer in enumerate(net.layers if isinstance(net, Network) else ()):
        if layer.direction != "forward":
            raise NetworkError("Windows.value_and_grad(...)", "every layer must run forward in time",
                               f"layer {i} {layer.direction}",
                               "make it forward: a window reads no later steps")  # fmt: skip
        if layer.gradient is not None and trace_hook(layer.gradient, "carry", layer.cell.states) is not None:
            raise NetworkError("Windows.value_and_grad(...)",
                               "no policy may have the hook carry, on the edges between steps",
                               f"layer {i} {layer.gradient}", "leave it out: windows cut the edges")  # fmt: skip

