"""The capabilities that a backend declares."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnspec.contract.budget import Budget
from rnnspec.contract.kernel import Path
from rnnspec.layer import DIRECTIONS
from rnnspec.tracing.cell import Cell

__all__ = ["COUNTED", "DTYPES", "SMALLEST", "Capabilities"]

DTYPES = {"f64": "float64", "f32": "float32", "tf32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""The precisions of the specification, by their names in every framework."""

SMALLEST = {"f64": 2.0**-1074, "f32": 2.0**-149, "tf32": 2.0**-149, "bf16": 2.0**-133, "f16": 2.0**-24}
"""The smallest number above 0 in each precision; half of it is rounded to 0."""

COUNTED = {"f64": 2**53, "f32": 2**24, "tf32": 2**24, "bf16": 2**8, "f16": 2**11}
"""The number up to which each precision holds all whole numbers exactly."""


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of a backend; a call that needs an undeclared one raises UnsupportedError.

    `cells` lists the cells that run, None for all; `sizes` lists pairs of a layer's inputs and outputs, None for all.
    Without `lengths` every row must be full; without `empty_rows` no length may be 0; without `any_padding` padded
    steps must be finite; without `resets`, which a `layer` must take as an argument, no step may be a reset.
    `deterministic` promises equal bits for equal calls in one process; `concurrent` promises that several
    threads may call at once. `paths` are the paths that `through` accepts. `budgets` are promises of speed that the
    conformance suite checks. Without `recur`, which lets a `layer` be asked for cells that are `given` their x.name,
    only maps make these. Without `heads` no layer may have heads, without `matrices` no cell may have a matrix; a
    cell with heads is another cell than the one without, so `cells` must list it too. Without `embedding`, whose
    `arrays` must `gather` and `scatter`, no inputs may be class numbers. Without `learned_state`, which lets a `layer`
    with resets be asked to begin with `params["initial"]`, no call may have resets and a layer that learns its initial
    states. Without `noise` no call of a network that has some may have a key.
    """

    cells: tuple[Cell, ...] | None = None
    precisions: tuple[str, ...] = ("f32", "f64")
    devices: tuple[str, ...] = ("cpu",)
    directions: tuple[str, ...] = tuple(DIRECTIONS)
    sizes: tuple[tuple[int, int], ...] | None = None
    lengths: bool = True
    empty_rows: bool = True
    any_padding: bool = True
    gradients: bool = True
    policies: bool = True
    resets: bool = False
    deterministic: bool = True
    concurrent: bool = True
    paths: tuple[Path, ...] = (Path.GENERIC,)
    budgets: tuple[Budget, ...] = ()
    heads: bool = True
    matrices: bool = True
    recur: bool = False
    embedding: bool = False
    learned_state: bool = False
    noise: bool = True

    @property
    def bidirectional(self) -> bool:
        """Whether layers run forward, in reverse, and bidirectionally."""
        return set(DIRECTIONS) <= set(self.directions)

    def lacked(self, cell: Cell) -> str:
        """What the equations of a cell need and a backend does not declare, or the empty string."""
        if cell.heads is not None and not self.heads:
            return f"heads ({cell.label})"
        if cell.has_matrices and not self.matrices:
            return f"matrices ({cell.name})"
        if cell.given is not None and not self.recur:
            return "recur"
        mapped = cell if cell.given is None else replace(cell, given=None)
        return f"cell {cell.label}" if self.cells is not None and mapped not in self.cells else ""
