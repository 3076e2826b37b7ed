"""Long layers, run a stretch of steps at a time by a program with room for one stretch.

Binding the calls of a step to memory takes longer than running them. So one program runs all stretches; the arrays that
the pullback of a stretch reads are copied aside, and copied back for the pullback.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.running.recomputation import Recomputing
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["STRETCH", "Aside", "Run", "Stretch", "Stretches"]

STRETCH = 2048
"""The steps of a stretch, a multiple of the blocks of products over time."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Run(Generic[K]):
    """What the pullback of a layer needs: the program of its forward run, which nobody else has, and its key; the
    inputs and the rows."""

    program: Any
    key: K
    inputs: Array
    rows: Any


@dataclass(frozen=True)
class Aside(Generic[K]):
    """What the pullback of a stretch needs: the key of its program, its inputs and rows, and what the program left."""

    key: K
    inputs: Array
    rows: Any
    kept: list[Array]


class Stretch(Generic[K]):
    """The kernel of a layer of no more steps than a program has room for; `path` as a result says it."""

    path: str

    def run(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> tuple[Run[K], Array, Tree]:
        """A run, whose program others may take once it is given back; the outputs and the final state."""
        raise NotImplementedError

    def pull(
        self, cell: Cell, params: Tree, run: Run[K], output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree,
    ) -> Gradients:
        """The pullback of a run; the gradients of the parameters are added to `sums`, if there are any."""
        raise NotImplementedError

    def program(self, key: K, inputs: Array) -> Any:
        """An idle program, or a new one."""
        raise NotImplementedError

    def give(self, run: Run[K]) -> None:
        """Give back the program of a run."""
        raise NotImplementedError

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """A run whose program others may take at once: what its pullback reads is set aside."""
        run, outputs, final = self.run(cell, params, inputs, state, lengths, call)
        kept = Aside(run.key, inputs, run.rows, run.program.set_aside(len(inputs))) if call.pullback else None
        self.give(run)
        return LayerResult(outputs, final, self.path, kept)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The pullback of a run that was set aside."""
        aside: Aside[K] = result.saved
        run = Run(self.program(aside.key, aside.inputs), aside.key, aside.inputs, aside.rows)
        run.program.put_back(params, len(aside.inputs), aside.kept)
        found = self.pull(cell, params, run, output_cotangent, state_cotangent, call, sums)
        self.give(run)
        return found


class Stretches(Recomputing):
    """Segments of a kernel whose results are kept instead of run again."""

    keeps = True
