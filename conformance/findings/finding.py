"""What became of one property on one backend: a status, the examples behind it, and the evidence where it fails."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.judge import Evidence

__all__ = ["NOT_APPLICABLE", "STATUSES", "Finding", "Verdict", "combine"]

STATUSES = ("pass", "fail", "unsupported", "xfail", "ill_posed", "inconclusive", "error")
NOT_APPLICABLE = "not_applicable"
"""No case of the property's met its precondition: it says nothing here, and is left out of the counts."""

WORST_FIRST = ("fail", "error", "inconclusive", "pass", "ill_posed", "unsupported", NOT_APPLICABLE)
"""A property has the first of these that one of its labels has."""


@dataclass(frozen=True)
class Verdict:
    """What became of a property on one label: a cell or a network."""

    status: str
    examples: int = 0
    ill_posed: int = 0
    kappa: float = 0.0
    why: str = ""
    evidence: Evidence | None = None
    case: str = ""


@dataclass(frozen=True)
class Finding:
    """What became of a property: `labels` says what it applied to, `left_out` how many of these the backend does not
    declare, and `reproducer` is Python that fails when pasted."""

    id: str
    status: str
    says: str = ""
    examples: int = 0
    ill_posed: int = 0
    left_out: int = 0
    kappa_max: float = 0.0
    why: str = ""
    evidence: dict[str, Any] | None = None
    reproducer: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def combine(id: str, says: str, verdicts: dict[str, Verdict], reproducer: str = "") -> Finding:
    """One finding from the verdicts of all labels; the evidence is the first worst label's."""
    statuses = {v.status for v in verdicts.values()}
    status = next((s for s in WORST_FIRST if s in statuses), NOT_APPLICABLE)
    worst = next((v for v in verdicts.values() if v.status == status), Verdict(status, why="nothing is selected"))
    return Finding(
        id, status, says,
        examples=sum(v.examples for v in verdicts.values()),
        ill_posed=sum(v.ill_posed for v in verdicts.values()),
        left_out=sum(v.status == "unsupported" for v in verdicts.values()),
        kappa_max=max((v.kappa for v in verdicts.values()), default=0.0),
        why="" if status == "pass" else worst.why,
        evidence=asdict(worst.evidence) if worst.evidence else None,
        reproducer=reproducer,
        labels={label: v.status for label, v in verdicts.items()},
    )  # fmt: skip
