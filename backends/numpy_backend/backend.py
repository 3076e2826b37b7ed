"""The NumPy backend: planned programs on preallocated arrays, float64 and float32, safe to call from many threads."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from backends.numpy_backend.program import Program
from backends.numpy_backend.rows import Rows
from backends.planning.plan import Plan
from backends.planning.planner import plan
from rnnspec.arrays import Array
from rnnspec.backend import Backend
from rnnspec.capabilities import DTYPES
from rnnspec.cell import Cell
from rnnspec.kernel import Call
from rnnspec.policies import trace_seam
from rnnspec.results import Gradients, LayerResult
from rnnspec.tree import Tree, tree_map

__all__ = ["NumpyBackend"]

Key = tuple[Plan, int, int]
KEPT_BYTES = 1 << 30
"""What the arrays of idle programs may take; the ones that were idle longest are let go first."""


@dataclass(frozen=True)
class Run:
    """What the pullback of a layer needs: the program of its forward run, still checked out, and the rows."""

    program: Program
    key: Key
    rows: Rows


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    version = np.__version__

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self._idle = _Pool()

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        steps, batch, features = inputs.shape
        key = (plan(self.plan(cell), _widths(cell, params, state)), features, batch)
        program = self._idle.take(key, steps) or Program(*key[:2], steps, batch, DTYPES[self.precision])
        rows = Rows(steps, batch, lengths)
        with np.errstate(all="ignore"):
            outputs, final = program.forward(params, inputs, state, rows)
        if not call.pullback:
            self._idle.give(key, program)
            return LayerResult(outputs, final, "planned")
        return LayerResult(outputs, final, "planned", Run(program, key, rows))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        run: Run = result.saved
        seams = {
            seam: trace_seam(call.policy, seam, cell.states) if call.policy else None for seam in ("carry", "total")
        }
        with np.errstate(all="ignore"):
            found = run.program.backward(params, output_cotangent, state_cotangent, run.rows, seams)
        self._idle.give(run.key, run.program)
        return Gradients(*found)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """The array itself where its dtype is the backend's: nothing here writes to an argument."""
        return np.asarray(array, dtype=DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype)

    def asarray(self, tree: Tree) -> Tree:
        return tree_map(np.array, super().asarray(tree))


class _Pool:
    """Programs that no call is using."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: OrderedDict[int, tuple[Key, Program]] = OrderedDict()

    def take(self, key: Key, steps: int) -> Program | None:
        """An idle program of this key with room for the steps; one that is too small is let go."""
        with self._lock:
            for place, (known, program) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[place]
                    return program if steps <= program.workspace.capacity else None
        return None

    def give(self, key: Key, program: Program) -> None:
        """Keep a program for later calls."""
        with self._lock:
            self._idle[id(program)] = (key, program)
            while len(self._idle) > 1 and sum(p.workspace.bytes for _, p in self._idle.values()) > KEPT_BYTES:
                self._idle.popitem(last=False)


def _widths(cell: Cell, params: Tree, state: Tree) -> tuple[tuple[str, int], ...]:
    """The widths of everything in the cell, read off its arrays."""
    widths = {f"x.{name}": a.shape[0] for name, a in params["W"].items()}
    widths |= {f"p.{name}": a.shape[0] for name, a in params["p"].items()}
    widths |= {f"R.{name}": a.shape[0] for name, a in params["U"].items()}
    widths |= {f"{name}.R": a.shape[1] for name, a in params["U"].items()}
    return tuple(sorted((widths | {name: a.shape[1] for name, a in state.items()}).items()))
