"""Recomputation on NumPy that gives the same bits as a run without it.

The last bits of a product depend on its number of rows, and those of a sum on its order. So every run takes products
over time in blocks of steps, counted from step 0. Segments consist of full blocks, keep the order of rows of the
complete run, and continue the sums of later segments.
"""

from __future__ import annotations

import math
from typing import Any

from backends.planning.stretches import Stretches
from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.running.recomputation import Recomputing
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["LongLayer", "Segments", "blocks"]

BLOCK_STEPS, BLOCK_ROWS = 64, 128
"""The least steps of a block, and the least rows over its steps: smaller products take longer for each row."""


def block(batch: int) -> int:
    """The steps of a block."""
    return max(BLOCK_STEPS, math.ceil(BLOCK_ROWS / batch))


def blocks(steps: int, batch: int) -> list[slice]:
    """The steps that are multiplied together."""
    size = block(batch)
    return [slice(low, min(steps, low + size)) for low in range(0, steps, size)]


class Segments(Recomputing):
    """Recomputing in full blocks; `every` is rounded up to a block."""

    def sizes(self, call: Call) -> tuple[int, int]:
        n, size = super().sizes(call)[0], block(call.batch)
        n = min(math.ceil(n / size) * size, call.steps)
        return n, call.steps // n

    def left(self, lengths: Array | None, first: Any, steps: int) -> Array | None:
        return None if lengths is None else lengths - first

    def pulled(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree,
        call: Call, sums: Tree,
    ) -> Gradients:
        kernel: Any = self.kernel
        return kernel.layer_pullback(cell, params, result, output_cotangent, state_cotangent, call, sums)  # type: ignore[no-any-return]


class LongLayer(Stretches, Segments):
    """Stretches in full blocks, with the same bits as a run in one stretch."""
