"""The result of one property on one backend: a status, the examples behind it, and the evidence where it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from conformance.judge import Evidence
from conformance.processes.deadline import OVER
from conformance.statements import Statement

__all__ = ["BAD", "NOT_APPLICABLE", "STATUSES", "Finding", "Verdict", "combine", "expected"]

STATUSES = ("pass", "fail", "unsupported", "xfail", "ill_posed", "inconclusive", "error", "not_asked")
BAD = ("fail", "error")
"""The statuses of a property with which a backend does not conform."""
NOT_APPLICABLE = "not_applicable"
"""No case met the property's precondition, so that the counts leave it out."""

WORST_FIRST = ("fail", "error", "inconclusive", "pass", "not_asked", "ill_posed", "unsupported", NOT_APPLICABLE)
"""A property has the first of these that one of its labels has."""


@dataclass(frozen=True)
class Verdict:
    """The result of a property on one label: a cell or a network."""

    status: str
    examples: int = 0
    ill_posed: int = 0
    kappa: float = 0.0
    why: str = ""
    evidence: Evidence | None = None
    case: str = ""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Verdict:
        """What `dataclasses.asdict` made, or a part of it."""
        evidence = given.get("evidence")
        return cls(**{**given, "evidence": evidence and Evidence(**evidence)})


@dataclass(frozen=True)
class Finding:
    """The result of a property: `labels` maps each cell or network to its status, `left_out` counts those that the
    backend does not declare, and `reproducer` is Python that fails when pasted.

    `name` and `says` are the law's; where it fails, `failure` says what that means and `first` what to look at.
    """

    id: str
    status: str
    name: str = ""
    says: str = ""
    failure: str = ""
    first: str = ""
    examples: int = 0
    ill_posed: int = 0
    left_out: int = 0
    kappa_max: float = 0.0
    why: str = ""
    evidence: dict[str, Any] | None = None
    reproducer: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, statement: Statement, status: str, **more: Any) -> Finding:
        """A finding with the texts of a statement: those about failure only where the property fails."""
        failure, first = (statement.failure, statement.first) if status in BAD else ("", "")
        return cls(statement.id, status, statement.name, statement.says, failure, first, **more)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def combine(statement: Statement, verdicts: dict[str, Verdict], reproducer: str = "") -> Finding:
    """One finding from the verdicts of all labels; the evidence is the first worst label's."""
    statuses = {v.status for v in verdicts.values()}
    status = next((s for s in WORST_FIRST if s in statuses), NOT_APPLICABLE)
    worst = next((v for v in verdicts.values() if v.status == status), Verdict(status, why="nothing is selected"))
    return Finding.of(
        statement, status,
        examples=sum(v.examples for v in verdicts.values()),
        ill_posed=sum(v.ill_posed for v in verdicts.values()),
        left_out=sum(v.status == "unsupported" for v in verdicts.values()),
        kappa_max=max((v.kappa for v in verdicts.values()), default=0.0),
        why="" if status == "pass" else worst.why,
        evidence=asdict(worst.evidence) if worst.evidence else None,
        reproducer=reproducer,
        labels={label: v.status for label, v in verdicts.items()},
    )  # fmt: skip


def expected(finding: Finding, xfail: str | None, whole: bool = True) -> Finding:
    """The finding where a failure is expected, with the reason: a failure is `xfail`, and a pass fails.

    In a part of a run, which is not `whole`, a pass says nothing yet: the law may fail elsewhere.
    """
    if xfail is None or finding.status in ("unsupported", "not_asked", NOT_APPLICABLE):
        return finding
    if finding.status in BAD:
        return replace(finding, status="xfail", why=xfail)
    if "not_asked" in finding.labels.values():
        return replace(finding, status="not_asked", why=OVER)
    if not whole:
        return finding
    return replace(finding, status="fail", why=f"it was expected to fail ({xfail}), and passes: take it off the list")
