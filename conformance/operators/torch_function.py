"""Functions of PyTorch, differentiated by its autograd."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from conformance.operators.function import Array, Called, Function, Overwritten

__all__ = ["TorchFunction"]


class TorchFunction(Function):
    """A function of tensors.

    The shapes of a call decide whether it gets tensors with another order in memory, and its pullback such cotangents:
    half of them do. Equal shapes are alike, since another order may change the last bits. The numbers decide which
    quarter is pulled back twice, and called again with one tensor that needs no gradient, which must change nothing.
    """

    framework = "torch"

    def run(self, arrays: Mapping[str, Array], pullback: bool) -> Called:
        turn = zlib.crc32(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values()))
        order = zlib.crc32(repr([np.shape(a) for a in arrays.values()]).encode())
        given = {name: _tensor(a, order % 2 > 0, pullback) for name, a in arrays.items()}
        if not pullback:
            with torch.no_grad():
                return Called([_numpy(a) for a in self._asked(given)], None)
        found = self._asked(given)
        learned = [name for name, a in given.items() if a.requires_grad]

        def pull(cotangents: Sequence[Array]) -> dict[str, Array]:
            tensors = [_tensor(d, order // 2 % 2 > 0, False) for d in cotangents]
            own = _gradients(found, [given[name] for name in learned], tensors)
            if turn % 4:
                return dict(zip(learned, own, strict=True))
            own = _gradients(found, [given[name] for name in learned], tensors)
            frozen = learned[turn // 4 % len(learned)]
            other = {name: a.detach().requires_grad_(name in learned and name != frozen) for name, a in given.items()}
            kept = [name for name in learned if name != frozen]
            again = dict(zip(kept, _gradients(self._asked(other), [other[name] for name in kept], tensors),
                             strict=True)) if kept else {}  # fmt: skip
            return {**dict(zip(learned, own, strict=True)), **again}

        return Called([_numpy(a) for a in found], pull)

    def version(self) -> str:
        return f"torch {torch.__version__}"

    def _asked(self, given: Mapping[str, Any]) -> list[Any]:
        before = {name: a.detach().clone() for name, a in given.items()}
        found = self.asked(given)
        for name, a in given.items():
            if not torch.allclose(a.detach().double(), before[name].double(), 0.0, 0.0, equal_nan=True):
                raise Overwritten(self.call, "it must not modify its arguments", f"other numbers in {name}",
                                  "write into new memory")  # fmt: skip
        return found


def _tensor(a: Array, strided: bool, differentiated: bool) -> Any:
    """A tensor; a strided one has its axes in the opposite order in memory."""
    host = np.array(a, order="C")
    found = torch.from_numpy(np.ascontiguousarray(host.T)).permute(*range(host.ndim)[::-1]) if strided else (
        torch.from_numpy(host))  # fmt: skip
    return found.requires_grad_(differentiated and found.is_floating_point())


def _gradients(found: list[Any], given: list[Any], cotangents: Sequence[Any]) -> list[Array]:
    pairs = [(a, d) for a, d in zip(found, cotangents, strict=True) if a.requires_grad]
    if not pairs:
        return [np.zeros(tuple(a.shape), _numpy(a).dtype) for a in given]
    own = torch.autograd.grad([a for a, _ in pairs], given, [d.to(a.dtype) for a, d in pairs], retain_graph=True,
                              allow_unused=True, materialize_grads=True)  # fmt: skip
    return [_numpy(a) for a in own]


def _numpy(a: Any) -> Array:
    return a.detach().cpu().numpy().copy()
