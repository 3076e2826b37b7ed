"""A kernel that computes with wider numbers than those of its call.

In parallel over time a decay is a product over many steps, and a state a sum over them. Sixteen bits would round each
of their parts; float32 rounds what the call gives once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call, Kernel, run_layer
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, tree_map

__all__ = ["Cast", "Widened"]

Cast = Callable[[Array], Array]


@dataclass(frozen=True)
class Widened:
    """A kernel of wider numbers; `wide` casts the numbers of a call to them, and `narrow` casts the results back."""

    kernel: Kernel
    wide: Cast
    narrow: Cast

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run one layer in one direction, in processing order."""
        own, first = tree_map(self.wide, params), tree_map(self.wide, state)
        found = run_layer(self.kernel, cell, own, self.wide(inputs), first, lengths, call, resets)
        return replace(found, outputs=self.narrow(found.outputs), state=tree_map(self.narrow, found.state))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""
        own, last = tree_map(self.wide, params), tree_map(self.wide, state_cotangent)
        found = self.kernel.layer_pullback(cell, own, result, self.wide(output_cotangent), last, call)
        return Gradients(*(tree_map(self.narrow, part) for part in (found.params, found.inputs, found.state)))
