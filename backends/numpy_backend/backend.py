"""The NumPy backend: planned programs on preallocated arrays, float64 and float32, safe to call from many threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backends.numpy_backend.group import MpiGroup, is_communicator
from backends.numpy_backend.program import Program, copying, replay
from backends.numpy_backend.rows import Rows
from backends.numpy_backend.segments import LongLayer, Segments
from backends.numpy_backend.workspace import BoundCall
from backends.planning.memory import CACHED, keep_freed
from backends.planning.plan import Plan
from backends.planning.planner import plan, plans, widths
from backends.planning.pool import Pool
from backends.planning.rewriting import Logistic
from backends.planning.streams import Half, PlannedBound
from backends.planning.stretches import STRETCH, Run, Stretch
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES, Capabilities
from rnnspec.contract.fixed import Fixed
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import HOOKS, trace_hook
from rnnspec.derivation.schedule import widest
from rnnspec.interface.backend import Backend
from rnnspec.running.lowering import Trace
from rnnspec.running.parallel import Parallel
from rnnspec.running.reading import logits
from rnnspec.running.recomputation import Recomputing, Saved
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, tree_map
from rnnspec.workers.group import Group

__all__ = ["NumpyBackend"]

FEW = 1 << 10
"""Below this number of values of a gate, calls take longer than their arithmetic, and fewer calls are better."""

Key = tuple[Plan, int, int]


class _Stretch(Stretch[Key]):
    """The kernel of a layer of no more steps than a program has room for."""

    path = "planned"

    def __init__(self, backend: Any, params: Tree) -> None:
        self.backend = backend
        self.idle: Pool[Program] = params.kept(Pool, Pool) if isinstance(params, Fixed) else backend.idle

    def key(self, cell: Cell, params: Tree, state: Tree, batch: int, features: int) -> Key:
        """What a program must be made for."""
        sizes = widths(params, state, features)
        logistic = Logistic.TANGENT if batch * max(width for _, width in sizes) < FEW else Logistic.EXPONENTIAL
        return plan(self.backend.plan(cell, batch, widest(state)), sizes, logistic), features, batch

    def run(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> tuple[Run[Key], Array, Tree]:
        """As the base says."""
        steps, batch, features = inputs.shape
        key = self.key(cell, params, state, batch, features)
        program, rows = self.program(key, inputs), Rows(steps, batch, lengths)
        with np.errstate(all="ignore"):
            outputs, final = program.forward(params, inputs, state, rows)
        return Run(program, key, inputs, rows), outputs, final

    def pull(
        self, cell: Cell, params: Tree, run: Run[Key], output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree,
    ) -> Gradients:
        """As the base says."""
        hooks = {hook: trace_hook(call.policy, hook, cell.states) if call.policy else None for hook in HOOKS}
        with np.errstate(all="ignore"):
            return Gradients(*run.program.backward(params, output_cotangent, state_cotangent, run.rows, hooks, sums))

    def program(self, key: Key, inputs: Array) -> Program:
        """As the base says."""
        plan, features, batch = key
        steps, dtype = len(inputs), DTYPES[self.backend.precision]
        return self.idle.take(key, steps) or Program(plan, features, steps, batch, dtype)

    def give(self, run: Run[Key]) -> None:
        """As the base says."""
        self.idle.give(run.key, run.program)


class NumpyBound(PlannedBound[BoundCall]):
    """A bound call of NumPy programs."""

    def half(self, cell: Cell, params: Fixed, features: int, state: Tree, batch: int) -> Half[BoundCall]:
        """As the base says."""
        key = _Stretch(self.backend, params).key(cell, params, state, batch, features)
        with np.errstate(all="ignore"):
            return Program(key[0], features, 1, batch, DTYPES[self.backend.precision]).half(params)

    def copying(self, to: Array, what: Array) -> BoundCall:
        """As the base says."""
        return copying(to, what)

    def play(self, calls: Sequence[BoundCall]) -> None:
        """As the base says."""
        replay(calls)

    def outputs(self, calls: Sequence[BoundCall], last: Array) -> Array:
        """As the base says."""
        with np.errstate(all="ignore"):
            replay(calls)
            return logits(self.backend.arrays, self.net, self._params, last) if self.net.output else np.array(last)


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    scans_from = 1024
    binds = NumpyBound
    name = "numpy"
    version = np.__version__
    capabilities = Capabilities(paths=(Path.GENERIC, Path.PARALLEL), resets=True, recur=True, embedding=True,
                                learned_state=True)

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self._dtype = np.dtype(DTYPES[self.precision])
        self.idle = Pool[Program]()
        keep_freed()

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run the planned program, or the lowering where there are resets or no plan; a long layer by stretches."""
        if resets is not None or not plans(cell):
            return super().layer(cell, params, inputs, state, lengths, call, resets)
        kernel = _Stretch(self, params)
        if call.steps > STRETCH:
            return LongLayer(kernel, self.arrays, STRETCH).layer(cell, params, inputs, state, lengths, call)
        run, outputs, final = kernel.run(cell, params, inputs, state, lengths, call)
        if call.pullback:
            return LayerResult(outputs, final, kernel.path, run)
        kernel.give(run)
        return LayerResult(outputs, final, kernel.path)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The pullback of `layer`; the gradients of the parameters are added to `sums`, if given."""
        kernel = _Stretch(self, params)
        if isinstance(result.saved, Trace):
            found = super().layer_pullback(cell, params, result, output_cotangent, state_cotangent, call)
            return found if sums is None else replace(found, params=tree_map(np.add, sums, found.params))
        if isinstance(result.saved, Saved):
            long = LongLayer(kernel, self.arrays, STRETCH)
            return long.layer_pullback(cell, params, result, output_cotangent, state_cotangent, call, sums)
        found = kernel.pull(cell, params, result.saved, output_cotangent, state_cotangent, call, sums)
        kernel.give(result.saved)
        return found

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        return super().in_parallel(replace(kernel, at_once=CACHED), call)

    def recomputed(self, kernel: Kernel) -> Recomputing:
        """Segments that change no bit, for this class's own pullback only, which can continue given sums."""
        own = getattr(kernel.layer_pullback, "__func__", None) is NumpyBackend.layer_pullback
        return Segments(kernel, self.arrays, self.every) if own else super().recomputed(kernel)

    def make_group(self, workers: Any) -> Group:
        """The group of a communicator of mpi4py, or of what the base takes."""
        return MpiGroup(workers) if is_communicator(workers) else super().make_group(workers)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        plain = type(array) is np.ndarray and array.shape == shape and array.dtype == self._dtype
        return plain and array.flags.c_contiguous

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """The array itself where its dtype and order are the backend's, since the backend never writes to an argument.

        The last bits of a product can depend on the order of its operands in memory, and no result may.
        """
        return np.asarray(array, dtype=DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype,
                          order="C")  # fmt: skip

    def asarray(self, tree: Tree) -> Tree:
        return tree_map(np.array, super().asarray(tree))
