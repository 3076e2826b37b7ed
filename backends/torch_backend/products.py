"""Products of PyTorch: its own, or oneDNN's where that is the quicker library.

PyTorch multiplies float32 on the CPU by MKL, Intel's own library. On an AMD EPYC oneDNN, which comes with PyTorch too,
takes about half the time of large products (`make products`). It has more to look at before it begins, so small
products stay where they are; and so do the gradients of maps, whose factors it would often have to lay out anew.
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
"""So many multiplications, by a matrix of so many numbers, beside which oneDNN's look at a product is little."""


@dataclass(frozen=True)
class Products:
    """A product `product(a, maps, out=...)`, and one with a summand, `added(summand, a, maps, out=...)`."""

    product: Callable[..., Array]
    added: Callable[..., Array]


def _linear(a: Array, maps: Array) -> Array:
    """The operator takes maps as a layer's weights, (out, in), in whichever order they lie in memory."""
    return torch.ops.mkldnn._linear_pointwise.default(a, maps.T, None, "none", [], "")


def _product(a: Array, maps: Array, out: Array = None) -> Array:
    found = _linear(a, maps)
    return found if out is None else out.copy_(found)


def _added(summand: Array, a: Array, maps: Array, out: Array) -> Array:
    return torch.add(summand, _linear(a, maps), out=out)


OWN, ONEDNN = Products(torch.matmul, torch.addmm), Products(_product, _added)


@cache
def favours_others() -> bool:
    """Whether PyTorch multiplies by MKL, on a processor that is known not to be Intel's, and has oneDNN beside it."""
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every PyTorch
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return both and "Intel" not in (told.get("cpu_name") or "Intel")


def quicker(a: Array, maps: Array) -> Products:
    """Whose products of such rows and such a matrix are quicker here."""
    large = maps.numel() >= WIDE and a.numel() * maps.shape[-1] >= LARGE
    return ONEDNN if large and a.dtype is torch.float32 and a.device.type == "cpu" and favours_others() else OWN
