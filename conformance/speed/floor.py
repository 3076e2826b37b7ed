"""The floor of a cell: the matrix products that no implementation can avoid, on NumPy's BLAS.

Forward: one product of all input maps over all time, and for each step one of the recurrent maps that share an
argument. Training adds, for each step, the products that carry the cotangent back, and over all time those of dW, dU
and dx. The cell's graph gives the products, so that every cell has a floor.

>>> from rnnspec import cells
>>> [(p.times, p.rows, p.inner, p.columns) for p in products(cells.lstm, Shape(16, 64, 32, 8), 8, "forward")]
[(1, 1024, 32, 32), (64, 16, 8, 32)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.registry import Shape
from rnnspec import Cell

__all__ = ["Floor", "Product", "flops", "products"]


@dataclass(frozen=True)
class Product:
    """`times` products of (rows, inner) by (inner, columns), one after the other."""

    times: int
    rows: int
    inner: int
    columns: int


def products(cell: Cell, shape: Shape, hidden: int | Mapping[str, int], mode: str) -> tuple[Product, ...]:
    """The unavoidable products of one layer; `mode` is "forward" or "train"."""
    widths, steps, batch = cell.widths(hidden), shape.time, shape.batch
    gates = sum(widths[f"x.{name}"] for name in cell.graph.names("input"))
    maps = _recurrent(cell, widths)
    found = [Product(1, steps * batch, shape.inputs, gates)]
    found += [Product(steps, batch, inner, columns) for inner, columns in maps]
    if mode == "train":
        found += [Product(steps, batch, columns, inner) for inner, columns in maps]
        found += [Product(1, inner, steps * batch, columns) for inner, columns in maps]
        found += [Product(1, shape.inputs, steps * batch, gates), Product(1, steps * batch, gates, shape.inputs)]
    return tuple(product for product in found if product.columns and product.inner)


def flops(work: tuple[Product, ...]) -> int:
    """The floating-point operations: two for each multiplication."""
    return sum(2 * p.times * p.rows * p.inner * p.columns for p in work)


class Floor:
    """The products with their arrays, ready to be timed."""

    def __init__(self, work: tuple[Product, ...], precision: str) -> None:
        dtype, rng = {"f64": np.float64}.get(precision, np.float32), np.random.default_rng(0)

        def drawn(*size: int) -> Any:
            return rng.standard_normal(size).astype(dtype)

        self._work = [
            (p.times, drawn(p.rows, p.inner), drawn(p.inner, p.columns), drawn(p.rows, p.columns)) for p in work
        ]

    def __call__(self) -> None:
        """Compute all products once."""
        for times, a, b, out in self._work:
            for _ in range(times):
                np.matmul(a, b, out=out)


def _recurrent(cell: Cell, widths: Mapping[str, int]) -> list[tuple[int, int]]:
    """(inner, columns) of each product of a step: the maps that share an argument are one."""
    shared: dict[int, list[str]] = {}
    for node in cell.graph.nodes:
        if node.op == "map" and node.name not in shared.setdefault(node.args[0], []):
            shared[node.args[0]].append(node.name)
    return [(widths[f"{names[0]}.R"], sum(widths[f"R.{name}"] for name in names)) for names in shared.values()]
