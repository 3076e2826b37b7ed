"""The arrays of PyTorch with the quicker products, for calls that PyTorch does not differentiate."""

from __future__ import annotations

from collections.abc import Callable

from backends.torch_backend.arrays import TorchArrays
from backends.torch_backend.products import for_gradients, quicker
from rnnspec.contract.arrays import Array

__all__ = ["QuickArrays"]

MATRIX = 2


class QuickArrays(TorchArrays):
    """Tensors whose large products of matrices are those of the library that is quicker."""

    def matmul(self, a: Array, b: Array) -> Array:
        if a.ndim != MATRIX or b.ndim != MATRIX:
            return a @ b
        return (quicker if a.is_contiguous() else for_gradients)(a, b).product(a, b)

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        if maps.ndim != MATRIX:
            return super().projection(maps, rows)
        return lambda a: quicker(a, maps.T).product(a, maps.T)
