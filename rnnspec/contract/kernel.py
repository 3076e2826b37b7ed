"""What may run a layer: the declaration, lowered, or a kernel of the framework, chosen openly."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import Recurrence
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Call", "Kernel", "Path"]


class Path(Enum):
    """How a backend may be held to run; left to itself it takes a kernel where there is one that pays."""

    GENERIC = "generic"
    """The lowered declaration, with gradients by the derived adjoint."""

    NATIVE = "native"
    """A kernel of the framework; a layer for which there is none is refused, with the reason."""

    FRAMEWORK = "framework"
    """The lowered declaration, with gradients by the framework's own differentiation. It knows no policies."""


@dataclass(frozen=True)
class Call:
    """What a layer is asked to do, beyond its arrays: where it stands, the policy inside its recurrence, its sizes.

    `pullback` says that one will follow, `ragged` that there are lengths.
    """

    place: str
    policy: Recurrence | None
    pullback: bool
    steps: int
    batch: int
    inputs: int
    ragged: bool


class Kernel(Protocol):
    """A framework's own implementation of one layer in one direction, with its gradients.

    Both methods keep to the contract of `Backend.layer` and `Backend.layer_pullback`; the result's path begins with
    `native` and names the kernel. One that fails raises: nothing slower takes its place.
    """

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """One layer, one direction, in processing order."""
        ...

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at the result it gave."""
        ...
