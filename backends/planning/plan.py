"""The plan of a cell at given widths: its blocks, and the calls of every phase, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from backends.planning.emission import Block, Call, Kind, Place
from rnnspec.derivation.schedule import Schedule
from rnnspec.tracing.graph import Node

__all__ = ["PRODUCTS", "Plan", "Product"]

PRODUCTS = ("map", "transposed")
"""Calls that multiply by maps; a call with two operands adds the product to the first operand."""


@dataclass(frozen=True)
class Product:
    """One gradient of maps: the cotangents at `cotangents`, side by side by name, and what the maps were applied to."""

    names: tuple[str, ...]
    cotangents: Place
    operand: Place | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a cell that does not depend on time, batch or precision. A plan equals no other plan.

    `x` is the place of the inputs and `x_gradient` that of their cotangents, where equations read `x` itself.
    """

    schedule: Schedule
    nodes: tuple[Node, ...]
    widths: tuple[int, ...]
    blocks: tuple[Block, ...]
    places: dict[int, Place]
    x: Place | None
    inputs: tuple[tuple[str, float, Place], ...]
    before: tuple[Call, ...]
    step: tuple[Call, ...]
    after: tuple[Call, ...]
    output: Place
    output_cotangent: Place
    carried: dict[str, Place]
    pull_before: tuple[Call, ...]
    pull_step: tuple[Call, ...]
    pull_after: tuple[Call, ...]
    input_gradients: tuple[Product, ...]
    map_gradients: tuple[Product, ...]
    vector_gradients: tuple[tuple[str, Place], ...]
    x_gradient: Place | None

    @cached_property
    def read_again(self) -> frozenset[int]:
        """The blocks of states before a step that maps read, where maps also read the states after it. Both share one
        memory, so that clearing the one after a row's end would clear the last step of the other."""
        operands = {p.operand.block for p in self.map_gradients if p.operand is not None}
        after = {self.blocks[block].state for block in operands if self.blocks[block].kind is Kind.NEW}
        return frozenset(b for b in operands if self.blocks[b].kind is Kind.OLD and self.blocks[b].state in after)

    @property
    def calls_per_step(self) -> int:
        """The number of calls of one step, forward and backward."""
        return len(self.step) + len(self.pull_step)
