"""The derived tolerance: how far a correct answer of a declared precision may be from the oracle's, and the verdict.

    profile     what a precision rounds
    yardstick   the oracle's answer with its yardstick tau: the spread of its perturbed runs, element by element
    judgement   |got - expected| <= kappa tau, kappa from Student's t at a false-alarm budget

A fixed relative or absolute tolerance is not among them: it would be wrong in both directions.
"""

from conformance.cases.profile import PROFILES, Profile
from conformance.tolerance.judgement import BUDGET, Verdict, agreement, effective_unit, kappa, verdict
from conformance.tolerance.yardstick import Reference, pullback, reference, run, train, value_and_grad

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
