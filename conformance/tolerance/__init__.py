"""The derived tolerance: the largest error of a correct result in a declared precision, and the verdict.

    profile     the rounding of a precision
    yardstick   the oracle's result with its yardstick tau: the spread of its perturbed runs, element by element
    judgement   |got - expected| <= kappa tau, kappa from Student's t at a false-alarm budget

A fixed relative or absolute tolerance would be too wide for some numbers and too narrow for others.
"""

from conformance.cases.profile import PROFILES, Profile
from conformance.tolerance.judgement import BUDGET, Verdict, agreement, effective_unit, kappa, verdict
from conformance.tolerance.yardstick import REFERENCES, Reference, pullback, reference, run, train, value_and_grad

__all__ = [
    "BUDGET",
    "PROFILES",
    "REFERENCES",
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
