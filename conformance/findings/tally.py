"""What a batch of examples of one law on one label came to, and the verdict on the label from all of its batches.

A label has more than one batch if it has many examples: so that machines can share them, and because among many cases
that are drawn together many are alike.

>>> held, broken = Tally("lstm", passed=20, kappas=(0.5,)), Tally("lstm", 0, 1, 3, found=Verdict("fail", 1, kappa=9.0))
>>> [(v.status, v.examples, v.kappa) for v in (verdict([held]), verdict([held, broken]))]
[('pass', 20, 0.5), ('fail', 24, 9.0)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.findings.finding import Verdict

__all__ = ["Tally", "counted", "verdict"]


@dataclass(frozen=True)
class Tally:
    """Batch `number` of a label, which stands at `place` among the law's labels.

    `kappas` are the worst ratios of all cases that broke nothing. `reasons` says for each other status than pass why
    the last case had it, in the order in which the statuses came up. `found` is the verdict on the example that broke
    the law, as far as it was shrunk, and `kappa_drawn` its worst ratio before that.
    """

    label: str
    place: int = 0
    number: int = 0
    passed: int = 0
    ill_posed: int = 0
    kappas: tuple[float, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    found: Verdict | None = None
    kappa_drawn: float = 0.0

    @property
    def kappa(self) -> float:
        """The worst ratio of the cases that broke nothing."""
        return max(self.kappas, default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the evidence of what was found is the finding's."""
        found = self.found and {name: getattr(self.found, name) for name in ("status", "examples", "kappa")}
        own = {name: getattr(self, name) for name in ("label", "place", "number", "passed", "ill_posed", "kappa_drawn")}
        return {**own, "kappas": list(self.kappas), "reasons": dict(self.reasons), "found": found}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Tally:
        """What `as_dict` made, or `dataclasses.asdict`, which keeps the evidence."""
        found = given["found"] and Verdict.from_dict(given["found"])
        return cls(**{**given, "kappas": tuple(given["kappas"]), "found": found})


def verdict(tallies: Sequence[Tally]) -> Verdict:
    """The verdict on a label; of its batches, in their order, the one that broke the law is the last that counts."""
    asked = counted(tallies)
    passed, ill_posed = sum(t.passed for t in asked), sum(t.ill_posed for t in asked)
    kappa = max((t.kappa for t in asked), default=0.0)
    found = asked[-1].found if asked else None
    if found:
        return replace(found, examples=passed + ill_posed + found.examples, ill_posed=ill_posed,
                       kappa=max(kappa, found.kappa))  # fmt: skip
    reasons = {status: why for tally in asked for status, why in tally.reasons.items()}
    status = "pass" if passed else next(iter(reasons), "inconclusive")
    return Verdict(status, passed + ill_posed, ill_posed, kappa, reasons.get(status, "no example was drawn"))


def counted(tallies: Sequence[Tally]) -> list[Tally]:
    """The batches in their order, up to the first that broke the law, after which no more is asked."""
    ordered = sorted(tallies, key=lambda tally: tally.number)
    ends = next((i for i, tally in enumerate(ordered, 1) if tally.found), len(ordered))
    return ordered[:ends]
