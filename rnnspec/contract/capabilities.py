"""What a backend declares of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.budget import Budget
from rnnspec.contract.kernel import Path
from rnnspec.network import DIRECTIONS
from rnnspec.tracing.cell import Cell

__all__ = ["COUNTED", "DTYPES", "SMALLEST", "Capabilities"]

DTYPES = {"f64": "float64", "f32": "float32", "tf32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""The precisions of the specification, by their names in every framework."""

SMALLEST = {"f64": 2.0**-1074, "f32": 2.0**-149, "tf32": 2.0**-149, "bf16": 2.0**-133, "f16": 2.0**-24}
"""The smallest number above 0 of each: half of it and less is 0."""

COUNTED = {"f64": 2**53, "f32": 2**24, "tf32": 2**24, "bf16": 2**8, "f16": 2**11}
"""How far each counts: every whole number up to it is one of its own."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend declares that it can do; what is not declared is refused.

    `cells` is None for every cell that can be written, `sizes` for every pair of a layer's inputs and outputs. Without
    `lengths` those of full rows alone are taken, without `empty_rows` none of 0, without `any_padding` no NaN or
    infinity behind a row's end. `deterministic` promises equal bits for equal calls, `concurrent` that several threads
    may call at the same time. `paths` are those that the backend can be held to by `through`. `budgets` say how fast it
    is, and are held.
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
    deterministic: bool = True
    concurrent: bool = True
    paths: tuple[Path, ...] = (Path.GENERIC,)
    budgets: tuple[Budget, ...] = ()

    @property
    def bidirectional(self) -> bool:
        """Whether layers run in either direction, and in both."""
        return set(DIRECTIONS) <= set(self.directions)
