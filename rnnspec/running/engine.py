"""The part of a backend that running a network needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Engine"]


class Engine(Protocol):
    """Runs layers one by one, and computes everything around them with its arrays."""

    arrays: Arrays
    path: Path | None

    def shown(self, inputs: Array, lengths: Array) -> Array:
        """The inputs that the first layer sees, where rows end at `lengths`."""

    def runner(self, cell: Cell, call: Call) -> Kernel:
        """The kernel of a layer."""

    def framework_vjp(
        self, function: Callable[..., Tree], *arguments: Tree
    ) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        """The value of a function of trees of arrays, and its pullback by the framework's automatic differentiation."""
