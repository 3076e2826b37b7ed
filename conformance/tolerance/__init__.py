"""The derived tolerance: how far a correct answer of a declared precision may be from the oracle's, and the verdict.

    profile     what a precision rounds
    reference   the oracle's answer with its yardstick tau: the spread of its perturbed runs, element by element
    verdict     |got - expected| <= kappa tau, kappa from Student's t at a false-alarm budget

A fixed relative or absolute tolerance is not among them: it would be wrong in both directions.
"""

from conformance.tolerance.profile import PROFILES, Profile
from conformance.tolerance.reference import Reference, reference
from conformance.tolerance.reference import pullback, run, train, value_and_grad
from conformance.tolerance.verdict import BUDGET, Verdict, agreement, effective_unit, kappa, verdict

__all__ = [
    "BUDGET",
    "PROFILES",
    "Profile",
    "Reference",
    "Verdict",
    "agreement",
    "effective_unit",
    "kappa",
    "pullback",
    "reference",
    "run",
    "train",
    "value_and_grad",
    "verdict",
]
