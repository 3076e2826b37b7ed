"""The judge: compares what a backend gave, and raises what a report can show.

`close` is for the oracle's values, `agree` for two answers of one backend, `equal` for two that must have the same
bits where the backend is deterministic, `exactly` for what the specification fixes to the bit (zeros, held states).
Everything takes arrays or trees of them, the backend's own or NumPy's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

__all__ = ["Evidence", "Failure", "IllPosed", "Judge", "NotApplicable"]


@dataclass(frozen=True)
class Evidence:
    """The worst element: what it is, where it stands, the two values, the yardstick and the ratio to it."""

    what: str
    where: str
    got: str
    expected: str
    tau: float | None = None
    kappa: float | None = None
    allowed: float | None = None


class Failure(AssertionError):
    """A property does not hold for a case."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(f"{evidence.what}{evidence.where}: got {evidence.got}, expected {evidence.expected}")
        self.evidence = evidence


class NotApplicable(Exception):
    """A property says nothing of this case, and why."""


class IllPosed(Exception):
    """No answer in this precision means anything for this case, and why."""


@dataclass
class Judge:
    """Judges one case; keeps the worst ratio that it saw.

    `reference` everywhere is an array, or tree of arrays, with the leading run axis that the oracle returns.
    """

    precision: str
    deterministic: bool = True
    kappa: float = 0.0
    effective_u: float = 0.0
    compared: int = field(default=0)

    def close(self, what: str, got: Any, reference: Any) -> None:
        """What a backend gave is the reference's run 0, within the spread of its other runs."""
        raise NotImplementedError

    def agree(self, what: str, first: Any, second: Any, reference: Any) -> None:
        """Two answers of the backend to one question agree within the reference's spread, both sides' counted."""
        raise NotImplementedError

    def equal(self, what: str, first: Any, second: Any, reference: Any) -> None:
        """Two answers have the same bits if the backend is deterministic, and agree otherwise."""
        raise NotImplementedError

    def exactly(self, what: str, got: Any, expected: Any) -> None:
        """Every element has the bits of the expected one; a number stands for an array of it."""
        raise NotImplementedError

    def holds(self, what: str, condition: bool, got: Any, expected: str) -> None:
        """A condition that is no comparison of arrays; `got` and `expected` are shown."""
        if not condition:
            self.fail(what, got, expected)

    def applies(self, condition: bool, why: str) -> None:
        """The property's precondition: where it does not hold, the case is counted apart, with the reason."""
        if not condition:
            raise NotApplicable(why)

    def fail(self, what: str, got: Any, expected: Any) -> NoReturn:
        """The property does not hold."""
        raise Failure(Evidence(what, "", str(got), str(expected)))
