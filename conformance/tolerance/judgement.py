"""The verdict: a result compared with its reference, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.cases.profile import Profile
from conformance.tolerance.answers import named
from conformance.tolerance.yardstick import Reference

__all__ = ["BUDGET", "Verdict", "agreement", "effective_unit", "kappa", "verdict"]

BUDGET = 1e-6
"""The probability that a verdict fails a correct result."""
MOST_RUNS = 128


@dataclass(frozen=True)
class Verdict:
    """Whether a result passed, and its worst element.

    `kappa` is the largest |got - expected| / tau, inf for a wrong shape, dtype, name, NaN, or a number in place of an
    exact 0; `allowed` is the largest kappa that passes. `where` is the leaf and index. `ill_posed` is the reason why
    no result of this precision can be tested, or empty.
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
        if self.ill_posed:
            return f"ill-posed: {self.ill_posed}"
        return (f"{'passed' if self.passed else 'FAILED'} at {self.where or 'the array'}: got {self.got}, expected "
                f"{self.expected}, {self.kappa:.3g} tau of {self.allowed:.3g} allowed, tau {self.tau:.3g}")  # fmt: skip


@dataclass(frozen=True)
class _Worst:
    ratio: float
    where: str
    got: Any
    expected: Any
    tau: float


def kappa(elements: int, runs: float, budget: float = BUDGET) -> float:
    """The most tau that the worst of `elements` may be off, by Student's t where `runs` runs estimate tau.

    For infinitely many runs it is the normal quantile.
    """
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415  # slow to import, and not always used

    tail = budget / (2 * max(elements, 1))
    return float(-ndtri(tail) if np.isinf(runs) else -stdtrit(runs, tail))


def verdict(got: Any, reference: Reference) -> Verdict:
    """The verdict on a result (a Result, Gradients, Step, Trained, tree or array, of NumPy arrays)."""
    found = dict(named(got))
    return _judge(reference, lambda ref: (found, ref.expected(), ref.tau()))


def agreement(got: Any, other: Any, reference: Reference) -> Verdict:
    """The verdict on two results of one case, compared with each other within sqrt(2) tau of the reference."""
    found, expected = dict(named(got)), dict(named(other))

    def views(ref: Reference) -> Any:
        return found, expected, {name: np.sqrt(2.0) * tau for name, tau in ref.tau().items()}

    return _judge(reference, views)


def effective_unit(profile: Profile, kappas: Sequence[float]) -> float:
    """The effective unit roundoff of a backend, from the worst ratios of its verdicts.

    It equals the declared one where one worst ratio in a thousand is 3 or more, as for independent roundings of the
    declared size in a few hundred elements.
    """
    finite = [k for k in kappas if np.isfinite(k)]
    return float(profile.unit * np.quantile(finite, 0.999) / 3.0) if finite else 0.0


def _judge(reference: Reference, views: Any) -> Verdict:
    while True:
        if reference.ill_posed:
            return Verdict(False, 0.0, 0.0, "", None, None, 0.0, reference.ill_posed)
        got, expected, tau = views(reference)
        elements = sum(t.size for t in tau.values())
        worst, allowed = _worst(reference, got, expected, tau), kappa(elements, reference.runs)
        surely = worst.ratio <= kappa(elements, np.inf)
        if surely or worst.ratio > allowed or reference.runs >= MOST_RUNS:
            passed = surely or worst.ratio <= allowed
            if passed or not reference.shared:
                return Verdict(passed, worst.ratio, allowed, worst.where, worst.got, worst.expected, worst.tau)
            reference = reference.own()
        else:
            reference = reference.refined()


def _worst(reference: Reference, got: dict[str, Any], expected: dict[str, Any], tau: dict[str, Any]) -> _Worst:
    odd = sorted(got.keys() ^ expected.keys())
    if odd:
        return _wrong(odd[0], *(("there", "not there") if odd[0] in got else ("not there", "there")))
    found = [_leaf(reference.profile, name, got[name], expected[name], tau.get(name)) for name in expected
             if name not in reference.untested]  # fmt: skip
    return max(found, key=lambda worst: worst.ratio, default=_Worst(0.0, "", None, None, 0.0))


def _leaf(profile: Profile, name: str, got: Any, expected: Any, tau: Any) -> _Worst:
    if tau is None:
        return _Worst(0.0 if got == expected else np.inf, name, got, expected, 0.0)
    a, b = np.asarray(got), np.asarray(expected)
    if a.shape != b.shape:
        return _wrong(name, f"shape {a.shape}", f"shape {b.shape}")
    if a.dtype.name not in profile.dtypes:
        return _wrong(name, f"dtype {a.dtype}", f"dtype {profile.dtypes[0]}")
    if not a.size:
        return _Worst(0.0, name, None, None, 0.0)
    widest = np.result_type(a.dtype if a.dtype.kind == "f" else np.float64, b.dtype, np.float64)
    a, b = a.astype(widest), b.astype(widest)
    with np.errstate(all="ignore"):
        error = np.abs(a - b)
        ratio = np.where(error == 0, 0.0, error / tau)
    same = (np.isnan(a) & np.isnan(b)) | (np.isinf(a) & (a == b))
    ratio = np.where(same, 0.0, np.where(np.isfinite(a) & np.isfinite(b), ratio, np.inf))
    index = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    return _Worst(float(ratio[index]), place, a[index], b[index], float(np.broadcast_to(tau, ratio.shape)[index]))


def _wrong(name: str, got: str, expected: str) -> _Worst:
    return _Worst(np.inf, name, got, expected, 0.0)
