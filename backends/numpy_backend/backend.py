"""The NumPy backend: planned programs on preallocated arrays, float64 and float32, safe to call from many threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends.numpy_backend.program import Program
from backends.numpy_backend.rows import Rows
from backends.numpy_backend.segments import LongLayer, Segments
from backends.planning.memory import keep_freed
from backends.planning.plan import Plan
from backends.planning.planner import plan, widths
from backends.planning.pool import Pool
from backends.planning.rewriting import Logistic
from backends.planning.stretches import STRETCH
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Call, Kernel
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import trace_seam
from rnnspec.derivation.schedule import widest
from rnnspec.interface.backend import Backend
from rnnspec.running.recomputation import Recomputing, Saved
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, tree_map

__all__ = ["NumpyBackend"]

FEW = 1 << 10
"""Below so many values of a gate the calls take longer than what they compute, and fewer of them are better."""

Key = tuple[Plan, int, int]


@dataclass(frozen=True)
class Run:
    """What the pullback of a layer needs: the program of its forward run, still checked out, and the rows."""

    program: Program
    key: Key
    rows: Rows


@dataclass(frozen=True)
class Aside:
    """What the pullback of a stretch needs: the key of its program, the rows, and what the program left."""

    key: Key
    rows: Rows
    kept: list[Array]


class _Stretch:
    """The kernel of a layer of no more steps than a program has room for."""

    def __init__(self, backend: NumpyBackend) -> None:
        self.backend, self.idle = backend, backend.idle

    def run(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None
    ) -> tuple[Run, LayerResult]:
        """A run, and its program, still checked out."""
        steps, batch, features = inputs.shape
        sizes = widths(params, state)
        logistic = Logistic.TANGENT if batch * max(width for _, width in sizes) < FEW else Logistic.EXPONENTIAL
        key = (plan(self.backend.plan(cell, batch, widest(state)), sizes, logistic), features, batch)
        program, rows = self.program(key, steps), Rows(steps, batch, lengths)
        with np.errstate(all="ignore"):
            outputs, final = program.forward(params, inputs, state, rows)
        return Run(program, key, rows), LayerResult(outputs, final, "planned")

    def pull(
        self, cell: Cell, params: Tree, run: Run, output_cotangent: Array, state_cotangent: Tree, call: Call, sums: Tree
    ) -> Gradients:
        """The pullback of a run, whose program is given back."""
        seams = {
            seam: trace_seam(call.policy, seam, cell.states) if call.policy else None for seam in ("carry", "total")
        }
        with np.errstate(all="ignore"):
            found = run.program.backward(params, output_cotangent, state_cotangent, run.rows, seams, sums)
        self.idle.give(run.key, run.program)
        return Gradients(*found)

    def program(self, key: Key, steps: int) -> Program:
        """An idle program, or a new one."""
        return self.idle.take(key, steps) or Program(*key[:2], steps, key[2], DTYPES[self.backend.precision])

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """A run whose program others may take at once: what its pullback reads is set aside."""
        run, result = self.run(cell, params, inputs, state, lengths)
        kept = Aside(run.key, run.rows, run.program.set_aside(len(inputs))) if call.pullback else None
        self.idle.give(run.key, run.program)
        return replace(result, saved=kept)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The pullback of a run that was set aside."""
        aside: Aside = result.saved
        program = self.program(aside.key, call.steps)
        program.put_back(params, aside.kept)
        run = Run(program, aside.key, aside.rows)
        return self.pull(cell, params, run, output_cotangent, state_cotangent, call, sums)


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    version = np.__version__

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self._dtype = np.dtype(DTYPES[self.precision])
        self.idle = Pool[Program]()
        keep_freed()

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """The planned program; a long layer goes through it a stretch of steps at a time."""
        kernel = _Stretch(self)
        if call.steps > STRETCH:
            return LongLayer(kernel, self.arrays, STRETCH).layer(cell, params, inputs, state, lengths, call)
        run, result = kernel.run(cell, params, inputs, state, lengths)
        if call.pullback:
            return replace(result, saved=run)
        self.idle.give(run.key, run.program)
        return result

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The pullback of `layer`; the gradients of the parameters are added to `sums`, if there are any."""
        kernel = _Stretch(self)
        if isinstance(result.saved, Saved):
            long = LongLayer(kernel, self.arrays, STRETCH)
            return long.layer_pullback(cell, params, result, output_cotangent, state_cotangent, call, sums)
        return kernel.pull(cell, params, result.saved, output_cotangent, state_cotangent, call, sums)

    def recomputed(self, kernel: Kernel) -> Recomputing:
        """Segments that change no bit, for this class's own pullback: another's knows no sums to go on from."""
        own = getattr(kernel.layer_pullback, "__func__", None) is NumpyBackend.layer_pullback
        return Segments(kernel, self.arrays, self.every) if own else super().recomputed(kernel)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        return type(array) is np.ndarray and array.shape == shape and array.dtype == self._dtype

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """The array itself where its dtype is the backend's: nothing here writes to an argument."""
        return np.asarray(array, dtype=DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype)

    def asarray(self, tree: Tree) -> Tree:
        return tree_map(np.array, super().asarray(tree))
