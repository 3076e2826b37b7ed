"""Products of PyTorch: its own, or oneDNN's where oneDNN is quicker.

PyTorch multiplies float32 on the CPU with MKL, Intel's library. On a processor that is not Intel's, MKL takes its
kernels for AVX2, and oneDNN, which PyTorch also contains, those for AVX-512 where the processor has it. There oneDNN
takes about half the time for large products; without AVX-512 about the same. So each class of large products is a
choice that is measured (`make products`). oneDNN takes longer to start, so small products are PyTorch's everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from backends.choices.decisions import DECISIONS
from backends.torch_backend.conditions import conditions
from backends.torch_backend.packing import in_memory
from rnnspec.contract.arrays import Array
from rnnspec.contract.choice import Choice

__all__ = ["CHOICES", "LARGE", "ONEDNN", "OWN", "WIDE", "Products", "for_gradients", "quicker"]

LARGE, WIDE = 3 << 20, 3 << 12
"""The least multiplications, and the least numbers of the second factor, from which on a choice is in question."""

FEW_ROWS, WIDE_MAPS = 16, 1 << 20
"""Fewer rows, and maps of at least this many numbers, are classes of their own: threads share their work otherwise."""


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

OPTIONS = {"torch": OWN, "onednn": ONEDNN}


def _rows_by_maps(rows: int, width: int, option: Products) -> Callable[[], object]:
    """A step's product: rows by three maps of one state."""
    out = torch.empty(rows, 3 * width)
    return partial(option.product, torch.full((rows, width), 0.5), torch.full((3 * width, width), 0.5).T, out=out)


def _gradients(rows: int, width: int, option: Products) -> Callable[[], object]:
    """The gradients of three maps, over rows of all steps."""
    return partial(option.product, torch.full((rows, 3 * width), 0.5).T, torch.full((rows, width), 0.5))


CHOICES = {
    "few rows": Choice("products of few rows", "Whose are large products of fewer than 16 rows by maps?", OPTIONS,
                       partial(_rows_by_maps, 4, 512), conditions, DECISIONS),
    "rows": Choice("products of rows", "Whose are large products of 16 rows or more by maps?", OPTIONS,
                   partial(_rows_by_maps, 32, 256), conditions, DECISIONS),
    "wide maps": Choice("products with wide maps", "Whose are products of 16 rows or more by maps of 2^20 numbers?",
                        OPTIONS, partial(_rows_by_maps, 16, 640), conditions, DECISIONS),
    "gradients": Choice("gradients of maps", "Whose are large products over all rows and steps?", OPTIONS,
                        partial(_gradients, 256, 256), conditions, DECISIONS),
}  # fmt: skip
"""The choices by the class of the product."""


def quicker(a: Array, maps: Array) -> Products:
    """The quicker products for rows and a matrix of these sizes."""
    if not _in_question(a, maps):
        return OWN
    few = a.numel() < FEW_ROWS * a.shape[-1]
    return _taken(CHOICES["few rows" if few else "wide maps" if maps.numel() >= WIDE_MAPS else "rows"])


def for_gradients(cotangents: Array, operand: Array) -> Products:
    """The quicker products for the gradients of maps: transposed cotangents by what the maps were applied to."""
    return _taken(CHOICES["gradients"]) if _in_question(cotangents, operand) else OWN


def _taken(choice: Choice[Products]) -> Products:
    return choice.options[choice.taken]


def _in_question(a: Array, maps: Array) -> bool:
    large = maps.numel() >= WIDE and a.numel() * maps.shape[-1] >= LARGE
    on_cpu = large and a.dtype is torch.float32 and a.device.type == "cpu"
    return on_cpu and torch.backends.mkldnn.is_available() and in_memory(a) and in_memory(maps)
