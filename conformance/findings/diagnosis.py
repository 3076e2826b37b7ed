"""The diagnosis: the known faults that fail nearly the same properties as a backend.

`known.json` is the kill matrix of the last self-test: for each known fault, the properties that detect it. The
diagnosis compares a failing backend with each fault. A property has more weight the fewer faults it detects; a property
that did not run has none.

>>> [likeness.fault for likeness in diagnose([])]
[]
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from conformance.cases import CELLS

__all__ = ["Known", "Likeness", "diagnose", "diagnosed", "read", "remember"]

KNOWN = Path(__file__).with_name("known.json")
JUDGED, FAILING = ("pass", "fail", "error"), ("fail", "error")
LEAST = 0.5
"""The least likeness with which a fault is named."""
FEWEST = 12
"""The fewest properties whose pattern means something."""
MOST = 3
"""The most faults that are named; those that fail the same properties count as one."""


@dataclass(frozen=True)
class Likeness:
    """A known fault and its likeness, from 0 to 1; `others` are faults that fail the same properties."""

    fault: str
    says: str
    alike: float
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """One fault, the properties that detect it, and the cell whose equations it is in, if there is one."""

    name: str
    says: str
    cell: str
    told_by: frozenset[str]


def diagnose(findings: Sequence[Mapping[str, Any]], known: Collection[Known] | None = None) -> list[Likeness]:
    """The most similar known faults, best first; none where nothing fails, or no fault is similar enough."""
    failing = {f["id"] for f in findings if f["status"] in FAILING}
    judged = {f["id"] for f in findings if f["status"] in JUDGED}
    faults = [fault for fault in (read() if known is None else known) if _can_be(fault, findings)]
    if not failing or not faults or len(judged) < FEWEST:
        return []
    weights = _weights(faults, judged)
    groups: dict[frozenset[str], list[Known]] = {}
    for fault in faults:
        groups.setdefault(fault.told_by & judged, []).append(fault)
    ranked = sorted(groups.items(), key=lambda group: -_alike(failing, group[0], weights))[:MOST]
    found = [(_alike(failing, told_by, weights), group) for told_by, group in ranked]
    return [Likeness(group[0].name, group[0].says, round(alike, 3), [fault.name for fault in group[1:]])
            for alike, group in found if alike >= LEAST]  # fmt: skip


def diagnosed(entry: dict[str, Any]) -> dict[str, Any]:
    """A backend's entry of the report with the known faults that it resembles."""
    return entry | {"looks_like": [asdict(likeness) for likeness in diagnose(entry["properties"])]}


@cache
def read(file: Path = KNOWN) -> tuple[Known, ...]:
    """The faults that the package remembers."""
    found = json.loads(file.read_text(encoding="utf-8"))
    laws, bits = found["laws"], len(found["laws"]) - 1
    return tuple(
        Known(row["name"], row["says"], row["cell"],
              frozenset(law for i, law in enumerate(laws) if int(row["told_by"], 16) >> (bits - i) & 1))
        for row in found["faults"]
    )  # fmt: skip


def remember(matrix: Mapping[str, Any], file: Path = KNOWN) -> None:
    """Keep the matrix of a self-test in the package, one fault a line, without those that its networks do not show."""
    rows = ",\n".join(json.dumps(row) for row in matrix["faults"] if int(row["told_by"], 16))
    partial = file.with_suffix(".partial")
    partial.write_text(f'{{"laws": {json.dumps(matrix["laws"])},\n"faults": [\n{rows}\n]}}\n', encoding="utf-8")
    partial.replace(file)


def _can_be(fault: Known, findings: Iterable[Mapping[str, Any]]) -> bool:
    """Whether only networks with the fault's cell fail, as far as their labels say."""
    alone = {label.partition(",")[0].partition(" at ")[0] for f in findings if f["status"] in FAILING
             for label, status in f["labels"].items() if status in FAILING}  # fmt: skip
    return not fault.cell or alone & CELLS.keys() <= {fault.cell}


def _weights(faults: Sequence[Known], judged: Iterable[str]) -> dict[str, float]:
    """The information that each property gives: little if it detects nearly every fault."""
    return {law: math.log((len(faults) + 1) / (sum(law in fault.told_by for fault in faults) + 0.5)) for law in judged}


def _alike(failing: Collection[str], told_by: Collection[str], weights: Mapping[str, float]) -> float:
    both, either = set(failing) & set(told_by), set(failing) | set(told_by)
    whole = sum(weights[law] for law in either)
    return sum(weights[law] for law in both) / whole if whole else 0.0


if __name__ == "__main__":
    remember(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["self_test"]["matrix"])
