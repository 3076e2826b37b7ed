"""One backend in one precision, as the report has it; filled from the messages of its process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.findings.finding import BAD, STATUSES, Finding
from conformance.findings.verdict import beyond
from conformance.processes.deadline import OVER
from conformance.statements import Statement

__all__ = ["BAD", "Entry", "missing"]

MORE_TIME = "give more --minutes, or select less with --only, --cell or --precision"
OF_PARTS = ("whole", "batches")


def missing(counts: dict[str, int]) -> int:
    """How many properties should have been judged, and were not."""
    return counts["expected"] - sum(counts.get(status, 0) for status in STATUSES)


def _zeros() -> dict[str, int]:
    return dict.fromkeys((*STATUSES, "expected"), 0)


@dataclass
class Entry:
    """What is known of one backend in one precision; `why` says more where the status is not `conforms`, `losses` what
    the conversion of a module's parameters loses. `peak_memory` is in bytes, and that of the process that tests all
    precisions; `not_measured` are speed rows for which there was no time. In a part of a run `whole` is the digest of
    all that the parts share, and `batches` has for each law, by id, what its batches of examples came to."""

    name: str
    version: str = ""
    status: str = "conforms"
    device: str = ""
    precision: str = ""
    counts: dict[str, int] = field(default_factory=_zeros)
    examples: int = 0
    programs_compiled: int = 0
    kappa_max: float = 0.0
    effective_u: float = 0.0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_memory: int = 0
    why: str = ""
    losses: list[str] = field(default_factory=list)
    properties: list[dict[str, Any]] = field(default_factory=list)
    not_applicable: list[dict[str, str]] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    not_measured: list[dict[str, str]] = field(default_factory=list)
    whole: str = ""
    batches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, finding: dict[str, Any], counted: bool) -> None:
        """One property is judged."""
        if not counted:
            self.not_applicable.append({name: finding[name] for name in ("id", "name", "why")})
            self.counts["expected"] -= 1
            return
        self.properties.append(finding)
        self.counts[finding["status"]] += 1
        self.examples += finding["examples"]
        self.kappa_max = max(self.kappa_max, finding["kappa_max"])
        if finding["status"] in BAD and self.status == "conforms":
            self.status = "fails"

    def clock(self, rows: list[dict[str, Any]]) -> None:
        """One row of speed is measured, against each peer; taking more time than is declared fails."""
        self.speed += rows
        for row in filter(beyond, rows):
            if self.status == "conforms":
                self.status = "fails"
                self.why = (f"{row['cell']} {row['mode']} took {row['ratio_peer']:.2f} of the time of {row['peer']}, "
                            f"and at most {row['budget']:.2f} is declared")  # fmt: skip

    def decide(self, rows: list[dict[str, Any]]) -> None:
        """One choice is timed beside its other options; taking one that is clearly slower fails."""
        self.choices += rows
        for row in rows:
            if row["verdict"] == "slower" and self.status == "conforms":
                self.status = "fails"
                self.why = (f"{row['name']}: {row['taken']} is taken, in {row['ratio']:.2f} of the time of "
                            f"{row['other']}; delete what was measured before, or turn off what disturbs the machine")

    def end(self, status: str, why: str, law: Statement | None = None, code: str = "") -> None:
        """The process ended early: the property that it was testing, if any, is an error."""
        if law:
            self.add(Finding.of(law, "error", why=why, examples=1, reproducer=code).as_dict(), counted=True)
        self.status, self.why = status, why

    def close(self) -> None:
        """Every property is judged for which there was time."""
        unasked = self.counts["not_asked"]
        if unasked and self.status == "conforms":
            self.status, self.why = "unfinished", f"{OVER}: {unasked} laws were not asked; {MORE_TIME}"

    @property
    def missing(self) -> int:
        """How many properties should have been judged, and were not."""
        return missing(self.counts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what only a part of a run has is left out elsewhere."""
        found = asdict(self)
        return found if self.whole else {name: own for name, own in found.items() if name not in OF_PARTS}
