"""The verdict: an answer against its reference, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.tolerance.reference import Reference

__all__ = ["BUDGET", "Verdict", "agreement", "effective_unit", "kappa", "verdict"]

BUDGET = 1e-6
"""The probability that one verdict on a correct answer is a false alarm."""


@dataclass(frozen=True)
class Verdict:
    """Whether an answer passed, and its worst element.

    `kappa` is the largest |got - expected| / tau, inf for a wrong shape, dtype, name, NaN or a number where an exact 0
    must be; `allowed` is the largest that passes. `where` is the leaf and index, `ill_posed` why nothing was judged.
    """

    passed: bool
    kappa: float
    allowed: float
    where: str
    got: Any
    expected: Any
    tau: float
    ill_posed: str = ""

    def __str__(self) -> str:
        raise NotImplementedError


def kappa(elements: int, runs: int, budget: float = BUDGET) -> float:
    """How many tau the worst of `elements` may be off, tau being estimated from `runs` runs: Student's t."""
    raise NotImplementedError


def verdict(got: Any, reference: Reference) -> Verdict:
    """An answer (a Result, Gradients, Step, Trained, tree or array, of NumPy arrays) against its reference."""
    raise NotImplementedError


def agreement(got: Any, other: Any, reference: Reference) -> Verdict:
    """Two answers to one question against each other, both allowed the rounding of the reference: sqrt(2) tau."""
    raise NotImplementedError


def effective_unit(profile: Any, kappas: list[float]) -> float:
    """The unit roundoff that a backend behaves as if it had: `profile.unit` where its worst ratios are usual ones."""
    raise NotImplementedError
