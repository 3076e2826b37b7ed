"""The places at which a backend that runs layers in parallel over time can be faulty."""

from __future__ import annotations

from typing import Any, ClassVar

from conformance.mutants.faulty import Faulty
from rnnspec import Call, Capabilities, Path
from rnnspec.contract.kernel import Kernel
from rnnspec.derivation.parallel import Chunks
from rnnspec.running.chunks import ChunkScan, Groups
from rnnspec.running.matrix_stage import MatrixStage
from rnnspec.running.parallel import InSegments, Parallel
from rnnspec.running.recomputation import Recomputing

__all__ = ["InParallel", "WithScan", "of_matrices"]


class InParallel(Faulty):
    """A backend that runs layers in parallel over time, by a kernel and segments that may be faulty."""

    capabilities = Capabilities(paths=(Path.GENERIC, Path.PARALLEL), resets=True)
    kernel: ClassVar[type[Parallel]] = Parallel
    segments: ClassVar[type[InSegments]] = InSegments

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        found = super().in_parallel(self.faulty(kernel), call)
        return self.segments(found.kernel) if isinstance(found, InSegments) else found  # type: ignore[arg-type]

    def recomputed(self, kernel: Kernel) -> Recomputing:
        return super().recomputed(self.faulty(kernel) if isinstance(kernel, Parallel) else kernel)

    def faulty(self, kernel: Parallel) -> Parallel:
        """The kernel that runs in place of a right one."""
        return self.kernel(kernel.arrays, kernel.form, kernel.chunk, kernel.at_once)


class WithScan(MatrixStage):
    """Chunks whose scan may be faulty."""

    scan: ClassVar[type[ChunkScan]] = ChunkScan

    def _groups(self, stage: Chunks, keys: Any) -> Groups:
        groups = super()._groups(stage, keys)
        return Groups(self.scan(self.arrays, groups.scan.before, groups.scan.fed), groups.size)


def of_matrices(stage: type[MatrixStage]) -> Any:
    """A kernel with this stage for matrices."""
    return type(f"With{stage.__name__}", (Parallel,), {"matrices": stage})
