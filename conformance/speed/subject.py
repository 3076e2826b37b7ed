"""The timed calls of a backend: `run` for forward, `pullback` for training, with its own arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from conformance.speed.row import INPUTS, Row
from rnnspec import Backend
from rnnspec.tree import flat

__all__ = ["Subject"]


class Subject:
    """One row on one backend, with arrays on its device, another input at each call, and awaited results."""

    def __init__(self, backend: Backend, row: Row) -> None:
        net = row.network
        self._backend, self._net = backend, net
        self._params = backend.asarray(net.init(0))
        self._inputs = [backend.asarray(x) for x in row.inputs()]
        self._cotangent = backend.asarray(row.cotangent(net.features))
        self._place: int | None = None
        self.call: Callable[[int], None] = {"forward": self._forward, "train": self._train}[row.mode]

    def path(self) -> str:
        """The path that the backend reports."""
        return ", ".join(what for _, what in self._backend.run(self._net, self._params, self._inputs[0]).path)

    def _forward(self, count: int) -> None:
        found = self._backend.run(self._net, self._params, self._inputs[count % INPUTS])
        self.wait((found.outputs, found.state))

    def _train(self, count: int) -> None:
        found = self._backend.pullback(self._net, self._params, self._inputs[count % INPUTS], self._cotangent)
        self.wait((found.params, found.inputs, found.state))

    def wait(self, tree: Any) -> None:
        """Wait for every array, with its own method, or by reading the smallest array."""
        arrays = flat(tree)
        if hasattr(arrays[0], "block_until_ready"):
            for array in arrays:
                array.block_until_ready()
        else:
            self._backend.to_numpy_array(arrays[self._smallest(arrays)])

    def _smallest(self, arrays: Sequence[Any]) -> int:
        """The index of the smallest array, which is equal in every call."""
        if self._place is None:
            self._place = min(range(len(arrays)), key=lambda i: math.prod(int(n) for n in arrays[i].shape))
        return self._place
