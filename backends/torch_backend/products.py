"""Products of PyTorch: its own, or oneDNN's where oneDNN is quicker.

PyTorch multiplies float32 on the CPU with MKL, Intel's library. On an AMD EPYC, oneDNN, which PyTorch also contains,
takes about half the time for large products (`make products`). It takes longer to start, so small products stay with
MKL, and so do the gradients of maps, whose factors oneDNN would often have to copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from rnnspec.contract.arrays import Array

__all__ = ["LARGE", "ONEDNN", "OWN", "WIDE", "Products", "favours_others", "quicker"]

LARGE, WIDE = 4 << 20, 1 << 15
"""The least multiplications, and the least numbers of the matrix, from which on oneDNN is quicker."""


@dataclass(frozen=True)
class Products:
    """A product `product(a, maps, out=...)`, and one with a summand, `added(summand, a, maps, out=...)`."""

    product: Callable[..., Array]
    added: Callable[..., Array]


def _linear(a: Array, maps: Array) -> Array:
    """A product with maps as a layer's weights (out, in), in any memory layout."""
    return torch.ops.mkldnn._linear_pointwise.default(a, maps.T, None, "none", [], "")


def _product(a: Array, maps: Array, out: Array = None) -> Array:
    found = _linear(a, maps)
    return found if out is None else out.copy_(found)


def _added(summand: Array, a: Array, maps: Array, out: Array) -> Array:
    return torch.add(summand, _linear(a, maps), out=out)


OWN, ONEDNN = Products(torch.matmul, torch.addmm), Products(_product, _added)


@cache
def favours_others() -> bool:
    """Whether PyTorch uses MKL on a processor that is known not to be Intel's, and also has oneDNN."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every PyTorch
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return both and "Intel" not in (known.get("cpu_name") or "Intel")


def quicker(a: Array, maps: Array) -> Products:
    """The quicker products for rows and a matrix of these sizes."""
    large = maps.numel() >= WIDE and a.numel() * maps.shape[-1] >= LARGE
    return ONEDNN if large and a.dtype is torch.float32 and a.device.type == "cpu" and favours_others() else OWN
