"""The ways to run a layer: the lowered declaration, or a kernel of the framework."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from rnnspec.contract.arrays import Array
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import Recurrence
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Call", "Kernel", "Path", "run_layer"]


class Path(Enum):
    """A way to run layers. By default a backend takes a kernel where one is faster."""

    GENERIC = "generic"
    """The lowered declaration, step by step, with gradients by the derived adjoint."""

    PARALLEL = "parallel"
    """The declaration in parallel over time, by scans and chunks; a layer that has no such form raises UnsupportedError
    with the reason."""

    NATIVE = "native"
    """A kernel of the framework; a layer without one raises UnsupportedError with the reason."""

    FRAMEWORK = "framework"
    """The lowered declaration, with gradients by the framework's own differentiation; policies are refused."""


@dataclass(frozen=True)
class Call:
    """A call of a layer without its arrays: its place, such as `layers.0.forward`, its policy, and its sizes.

    `pullback` says that a pullback will follow, `ragged` that the call has lengths, `resets` that it has resets.
    `learned` says that these begin with the learned states, which are then `initial` among the parameters.
    """

    place: str
    policy: Recurrence | None
    pullback: bool
    steps: int
    batch: int
    inputs: int
    ragged: bool
    resets: bool = False
    learned: bool = False


class Kernel(Protocol):
    """A framework's own implementation of one layer in one direction, with its gradients.

    Both methods keep the contracts of `Backend.layer` and `Backend.layer_pullback`. The result's path begins with
    `native` and names the kernel. A kernel that fails must raise: rnnspec runs nothing else in its place. A kernel for
    calls with resets takes them as one more argument of `layer`, a `Resets`; other calls leave it out.
    """

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """Run one layer in one direction, in processing order."""
        ...

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""
        ...


def run_layer(
    kernel: Kernel, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
    resets: Resets | None,
) -> LayerResult:
    """Run a layer by a kernel, which gets no argument for resets where there are none: it need not know of them."""
    given: tuple[Any, ...] = () if resets is None else (resets,)
    return kernel.layer(cell, params, inputs, state, lengths, call, *given)
