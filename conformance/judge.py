"""The judge: compares results of a backend, and raises errors with evidence for the report.

`close` compares with the oracle, `agree` compares two results of one backend, `equal` two that must be equal where the
backend is deterministic, and `exactly` compares with numbers that the specification fixes (zeros, held states). All
take results of the backend, as trees of its own arrays or of NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NoReturn

import numpy as np

from conformance import tolerance
from conformance.tolerance import Reference
from rnnspec import Backend
from rnnspec.tree import leaves

__all__ = ["Evidence", "Failure", "IllPosed", "Judge", "NotApplicable"]

NO_ARRAYS = ("path", "count")
"""The fields of a result that hold no arrays of the backend."""

SHORT_RANGE = ("f16",)
"""Precisions in which the numbers of gradients may underflow."""


@dataclass(frozen=True)
class Evidence:
    """The worst element: the array, the index, the two values, the yardstick and the ratio to it."""

    what: str
    where: str
    got: str
    expected: str
    tau: float | None = None
    kappa: float | None = None
    allowed: float | None = None


class Failure(AssertionError):
    """A law does not hold for a case."""

    def __init__(self, evidence: Evidence) -> None:
        place = f" at {evidence.where}" if evidence.where else ""
        super().__init__(f"{evidence.what}{place}: got {evidence.got}, expected {evidence.expected}")
        self.evidence = evidence


class NotApplicable(Exception):
    """A law does not apply to this case; the text says why."""


class IllPosed(Exception):
    """A case is ill-posed: no result in this precision can be tested; the text says why."""


@dataclass
class Judge:
    """Tests one case on one backend, and keeps the worst ratio of its comparisons."""

    backend: Backend
    kappa: float = 0.0

    @property
    def gradients(self) -> bool:
        """Whether the backend has gradients."""
        return self.backend.capabilities.gradients

    def close(self, what: str, got: Any, reference: Reference) -> None:
        """A result is the reference, within kappa times the yardstick."""
        self._pronounce(what, tolerance.verdict(self.numpy(got), reference))

    def agree(self, what: str, first: Any, second: Any, reference: Reference) -> None:
        """Two results of one case agree within the rounding of the reference, whose values do not count."""
        self._pronounce(what, tolerance.agreement(self.numpy(first), self.numpy(second), reference))

    def equal(self, what: str, first: Any, second: Any, reference: Reference) -> None:
        """Two results are equal if the backend is deterministic, and agree otherwise."""
        if self.backend.capabilities.deterministic:
            self.exactly(what, first, second)
        else:
            self.agree(what, first, second, reference)

    def scaled(self, what: str, first: Any, second: Any, reference: Reference) -> None:
        """As `equal`, for results that a power of two scales; they agree where the precision may underflow."""
        if self.backend.precision in SHORT_RANGE:
            self.agree(what, first, second, reference)
        else:
            self.equal(what, first, second, reference)

    def exactly(self, what: str, got: Any, expected: Any) -> None:
        """Every element is equal to the expected one, NaN to NaN; a Python number is broadcast."""
        fixed = isinstance(expected, int | float)
        wanted = {} if fixed else dict(_arrays(self.numpy(expected)))
        found = dict(_arrays(self.numpy(got)))
        if not fixed and sorted(found) != sorted(wanted):
            self.fail(what, sorted(found), sorted(wanted))
        for name, a in found.items():
            b = np.full(a.shape, expected) if fixed else wanted[name]
            if a.shape != b.shape or (not fixed and a.dtype != b.dtype):
                self.fail(f"{what} {name}", f"{a.dtype}{list(a.shape)}", f"{b.dtype}{list(b.shape)}")
            wrong = np.argwhere(~np.isclose(a, b, rtol=0, atol=0, equal_nan=True))
            if len(wrong):
                index = tuple(map(int, wrong[0]))
                raise Failure(Evidence(what, f"{name}{list(index)}", repr(a[index].item()), repr(b[index].item())))

    def holds(self, what: str, condition: bool, got: Any, expected: Any) -> None:
        """A condition holds that is no comparison of arrays; the report shows `got` and `expected`."""
        if not condition:
            self.fail(what, got, expected)

    def applies(self, condition: bool, why: str) -> None:
        """A precondition of the law; where it does not hold, the case is counted separately, with the reason."""
        if not condition:
            raise NotApplicable(why)

    def fail(self, what: str, got: Any, expected: Any) -> NoReturn:
        """Raise the Failure of a law that does not hold."""
        raise Failure(Evidence(what, "", str(got), str(expected)))

    def numpy(self, answer: Any) -> Any:
        """A result or a tree with NumPy arrays as leaves."""
        if is_dataclass(answer) and not isinstance(answer, type):
            return replace(answer, **{f.name: self.numpy(getattr(answer, f.name)) for f in _array_fields(answer)})
        return self.backend.to_numpy(answer)

    def _pronounce(self, what: str, verdict: tolerance.Verdict) -> None:
        if verdict.ill_posed:
            raise IllPosed(verdict.ill_posed)
        self.kappa = max(self.kappa, verdict.kappa)
        if not verdict.passed:
            raise Failure(Evidence(what, verdict.where, str(verdict.got), str(verdict.expected), verdict.tau,
                                   verdict.kappa, verdict.allowed))  # fmt: skip


def _array_fields(answer: Any) -> Iterator[Any]:
    return (f for f in fields(answer) if f.name not in NO_ARRAYS and getattr(answer, f.name) is not None)


def _arrays(answer: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(answer) and not isinstance(answer, type):
        for f in _array_fields(answer):
            for name, leaf in _arrays(getattr(answer, f.name)):
                yield f"{f.name}.{name}".rstrip("."), leaf
    else:
        yield from ((name, np.asarray(leaf)) for name, leaf in leaves(answer))
