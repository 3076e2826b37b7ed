"""The entry of one backend in one precision, joined from those of the parts of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.findings.entry import Entry
from conformance.findings.finding import NOT_APPLICABLE
from conformance.findings.verdict import beyond
from conformance.joining.laws import Told, joined, kappas
from conformance.joining.parts import PartReport, absent
from conformance.speed.arena import rows
from conformance.tolerance import PROFILES, effective_unit

__all__ = ["entries"]

Own = tuple[PartReport, dict[str, Any]]
"""A part, and its entry of one backend."""


def entries(parts: Sequence[PartReport]) -> list[Entry]:
    """The entries of the whole run, in its order."""
    found, lost = list[Entry](), absent(parts)
    for name in parts[0].origin.asked["names"]:
        own = [(part, entry) for part in parts for entry in part.document["backends"] if entry["name"] == name]
        known = [entry["precision"] for _, entry in own if entry.get("whole")]
        for precision in dict.fromkeys(known or [entry["precision"] for _, entry in own]):
            here = [(part, entry) for part, entry in own
                    if entry["precision"] == precision or entry["precision"] not in (known or [precision])]  # fmt: skip
            found.append(_entry(name, precision, here))
    for entry in found:
        if lost and entry.status == "conforms":
            said = ", ".join(map(str, lost))
            entry.status = "unfinished"
            entry.why = f"parts {said} of {parts[0].origin.of} are missing; run them, and join all"
    return found


def _entry(name: str, precision: str, own: Sequence[Own]) -> Entry:
    """One entry; a part whose process ended before it had one of this precision told how it ended."""
    each = [entry for _, entry in own]
    entry = Entry(name, _texts(each, "version"), device=_texts(each, "device"), precision=precision)
    entry.losses = list(dict.fromkeys(loss for one in each for loss in one["losses"]))
    _laws(entry, own)
    entry.close()
    _speed(entry, own)
    for cost in ("seconds", "processor_seconds", "programs_compiled"):
        setattr(entry, cost, sum(one[cost] for one in each))
    entry.peak_memory = max(one["peak_memory"] for one in each)
    _end(entry, own)
    return entry


def _texts(each: Sequence[dict[str, Any]], field: str) -> str:
    """A text that is one for all parts, or those of all."""
    return ", ".join(sorted({one[field] for one in each if one[field]}))


def _laws(entry: Entry, own: Sequence[Own]) -> None:
    origin = own[0][0].origin
    if not any(one.get("whole") for _, one in own):
        return
    entry.counts["expected"] = len(origin.laws)
    ratios: list[float] = []
    for law in sorted(origin.laws):
        told = [one for part, given in own if (one := Told.of(part.origin.number, given, law))]
        if told:
            finding = joined(told, origin.asked["xfails"].get(law))
            entry.add(finding.as_dict(), finding.status != NOT_APPLICABLE)
            ratios += kappas(told)
    finite = [ratio for ratio in ratios if ratio < sys.float_info.max]
    entry.effective_u = effective_unit(PROFILES[entry.precision], finite) if finite else 0.0


def _speed(entry: Entry, own: Sequence[Own]) -> None:
    """The rows in the order of the whole run, each with the number of the part whose machine measured it."""
    order = [(row.cell, vars(row.shape), row.mode) for row in rows(own[0][0].origin.selection, entry.precision, "")]
    measured = [{**row, "part": part.origin.number} for part, one in own for row in one["speed"]]
    entry.clock(sorted(measured, key=lambda row: order.index((row["cell"], row["shape"], row["mode"]))))
    timed = [{**row, "part": part.origin.number} for part, one in own for row in one["choices"]]
    entry.decide(sorted(timed, key=lambda row: str(row["name"])))
    entry.not_measured = [row for _, one in own for row in one["not_measured"]]


def _end(entry: Entry, own: Sequence[Own]) -> None:
    """How processes ended, where they did."""
    ends = list(_ends(own))
    if ends:
        worst = next(status for status in ("crashed", "timeout", "fails", "unavailable")
                     if any(status == found for _, found, _ in ends))  # fmt: skip
        whys = {why for _, _, why in ends}
        alike = len(whys) == 1 and len(ends) == len(own)
        told = "; ".join(f"part {number}: {why}" for number, _, why in ends)
        gone = worst == "unavailable" and len(ends) < len(own)
        entry.status, entry.why = "unfinished" if gone else worst, whys.pop() if alike else told


def _ends(own: Sequence[Own]) -> Iterator[tuple[int, str, str]]:
    for part, one in own:
        slow = any(map(beyond, one["speed"])) or any(row["verdict"] == "slower" for row in one["choices"])
        broken = one["status"] == "fails" and one["why"] and not slow
        if broken or one["status"] in ("crashed", "timeout", "unavailable"):
            yield part.origin.number, one["status"], one["why"]
