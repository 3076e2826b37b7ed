"""Measures how often the diagnosis is right: it must name the kinds of faults that the kill matrix has not seen.

    python docs/figures/looks_like.py --json docs/figures/looks_like.json

Every fault of `unseen` is tested by the laws of the smoke tier, and diagnosed. Faults that the file has already are
only diagnosed again, where the laws are the same. Half of each kind is open: one may look at it while the diagnosis is
improved. The other half is hidden, and only counted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import track
from unseen import Unseen, faults

from conformance.findings.diagnosis import JUDGED, resembled
from conformance.findings.signs import signs
from conformance.mutants.matrix import examined
from conformance.mutants.trial import Reference
from conformance.registry import properties

__all__ = ["diagnosed"]


def tested(fault: Unseen) -> dict[str, Any]:
    """The signs that a fault shows, and the laws that could not be judged."""
    findings = examined(fault.mutant.make(Reference()))
    silent = [finding["id"] for finding in findings if finding["status"] not in JUDGED]
    return {"shows": sorted(signs(findings)), "not_judged": silent}


def diagnosed(row: dict[str, Any], laws: list[str]) -> dict[str, Any]:
    """A row of the file with the kinds that the diagnosis names, and the place of the true one among them, or 0."""
    found = resembled(row["shows"], {*laws} - {*row["not_judged"]})
    named = [[likeness.kind, likeness.sure, likeness.probability] for likeness in found]
    return row | {"named": named, "place": next((i for i, one in enumerate(named, 1) if one[0] == row["kind"]), 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given, laws = parser.parse_args(), [law.id for law in properties()]
    earlier = json.loads(given.json.read_text()) if given.json.exists() else {"laws": laws, "rows": []}
    rows = {row["fault"]: row for row in earlier["rows"] if earlier["laws"] == laws}
    for fault in track(list(faults())):
        name = fault.mutant.name
        own = {"fault": name, "says": fault.mutant.says, "kind": fault.kind, "open": fault.open}
        rows[name] = diagnosed((rows.get(name) or tested(fault)) | own, laws)
        given.json.write_text(json.dumps({"laws": laws, "rows": list(rows.values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
