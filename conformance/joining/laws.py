"""The finding of one law, joined from the parts of a run: that of the whole run, where each batch was asked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.findings.finding import BAD, NOT_APPLICABLE, Finding, Verdict, combine, expected
from conformance.findings.tally import Tally, counted, verdict
from conformance.judge import Evidence
from conformance.processes.deadline import OVER
from conformance.statements import Statement

__all__ = ["Told", "joined", "kappas"]


@dataclass(frozen=True)
class Told:
    """What one part tells of a law: its finding, and the tallies of its batches."""

    part: int
    finding: Finding
    tallies: Sequence[Tally] = ()

    @classmethod
    def of(cls, part: int, entry: Mapping[str, Any], law: str) -> Told | None:
        """What a part's entry says of a law, or None where it has nothing of it."""
        found = next((one for one in entry["properties"] if one["id"] == law), None)
        absent = next((one for one in entry["not_applicable"] if one["id"] == law), None)
        told = found or (absent and {**absent, "status": NOT_APPLICABLE})
        tallies = entry.get("batches", {}).get(law, ())
        return cls(part, Finding(**told), tuple(map(Tally.from_dict, tallies))) if told else None


def joined(told: Sequence[Told], xfail: str | None) -> Finding:
    """One finding from those of several parts."""
    ended = next((one.finding for one in told if not one.tallies and one.finding.status in BAD), None)
    if ended:
        return ended
    labels = _labels(told)
    if not labels:
        return told[0].finding
    verdicts = _verdicts(labels) | _not_asked(told, labels)
    shown = next((label for status in BAD for label, v in verdicts.items() if v.status == status), "")
    teller = _teller(told, labels[shown]) if shown else _named(told)
    if shown:
        evidence = Evidence(**teller.evidence) if teller.evidence else None
        verdicts[shown] = replace(verdicts[shown], why=teller.why, evidence=evidence)
    statement = Statement(teller.id, teller.name, teller.says, teller.failure, teller.first)
    return expected(combine(statement, verdicts, teller.reproducer if shown else ""), xfail)


def kappas(told: Iterable[Told]) -> list[float]:
    """The worst ratios of all cases that a run of the whole would have asked, and that broke nothing."""
    return [k for tallies in _labels(told).values() for tally in counted(tallies) for k in tally.kappas]


def _labels(told: Iterable[Told]) -> dict[str, list[Tally]]:
    """The tallies of each label, in the order of the law's labels."""
    found: dict[str, list[Tally]] = {}
    for tally in sorted((tally for one in told for tally in one.tallies), key=lambda tally: tally.place):
        found.setdefault(tally.label, []).append(tally)
    return found


def _verdicts(labels: Mapping[str, Sequence[Tally]]) -> dict[str, Verdict]:
    """Only the first label that fails is shrunk; a part does not know which label failed in another one."""
    found: dict[str, Verdict] = {}
    for label, tallies in labels.items():
        failed = any(v.status == "fail" for v in found.values())
        own = [_as_drawn(tally) if failed else tally for tally in tallies]
        found[label] = verdict(own)
    return found


def _as_drawn(tally: Tally) -> Tally:
    return replace(tally, found=replace(tally.found, kappa=tally.kappa_drawn)) if tally.found else tally


def _not_asked(told: Sequence[Told], labels: Mapping[str, Sequence[Tally]]) -> dict[str, Verdict]:
    """The labels that some part had no time for; of a part that began with none of them, its number."""
    found: dict[str, Verdict] = {}
    for one in told:
        late = [label for label, status in one.finding.labels.items() if status == "not_asked"]
        if one.finding.status == "not_asked" and not late:
            late = [f"part {one.part}"]
        for label in late:
            so_far = verdict(labels.get(label, ()))
            if so_far.status not in BAD:
                found[label] = replace(so_far, status="not_asked", why=OVER)
    return found


def _teller(told: Sequence[Told], tallies: Sequence[Tally]) -> Finding:
    """The finding of the part that tested what broke the law."""
    broken = counted(tallies)[-1]
    return next(one.finding for one in told if broken in one.tallies)


def _named(told: Sequence[Told]) -> Finding:
    """A finding with the law's words, which one of what does not apply lacks."""
    return next((one.finding for one in told if one.finding.says), told[0].finding)
