"""The kill matrix: the signs that each mutant shows in an examination of the smoke tier.

    python -m conformance.mutants.matrix

goes on with the matrix of the package: it tests the mutants that are new, and those that have not met the newest laws,
and writes what it has found after every few of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from conformance.findings.known import Known, read, remember
from conformance.findings.signs import SIGNS, signs
from conformance.mutants.census import mutants
from conformance.mutants.kinds import kind
from conformance.mutants.trial import Reference
from conformance.registry import properties
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec import Backend, Mutant

__all__ = ["completed", "examined", "go_on", "measured", "missing", "signatures"]

CELLS = ("elman", "lstm")
"""The cells whose own faults are in the matrix: those of the others are of the same kinds."""
SHARE = (0, 2)
"""The part of the labels that the first of two precisions has, as in a run of the smoke tier."""
AT_ONCE = 4
"""The mutants that are tested before the matrix is written again."""


def examined(backend: Backend) -> list[dict[str, Any]]:
    """The findings of a run of the smoke tier, as a report has them."""
    selection = Selection("smoke")
    scope = replace(selection.scope(backend.capabilities), share=SHARE)
    examination = Examination(backend, scope, selection.seed, selection.examples_each, selection.depth.labels)
    return [examination.judge(law).as_dict() for law in selection.laws()]


def measured(mutant: Mutant) -> Known:
    """A mutant's row of the matrix."""
    cell = getattr(getattr(mutant, "cell", None), "name", "")
    shown = signs(examined(mutant.make(Reference()))) & _questions()
    return Known(mutant.name, mutant.says, cell, kind(mutant), shown, _questions())


def missing(known: Iterable[Known]) -> list[Mutant]:
    """The mutants without a row, or with one that lacks a law; in an order that is the same always, and mixed."""
    full = {fault.name for fault in known if fault.asked >= _questions()}
    found = [mutant for mutant in mutants() if _is_in(mutant) and mutant.name not in full]
    random.Random(0).shuffle(found)
    return found


def go_on() -> None:
    """Test what is missing in the matrix of the package, and write it."""
    left = missing(read())
    rows = {fault.name: fault for fault in read()}
    rows = {mutant.name: rows[mutant.name] for mutant in mutants() if mutant.name in rows}
    for start in range(0, len(left), AT_ONCE):
        rows |= {mutant.name: measured(mutant) for mutant in left[start : start + AT_ONCE]}
        remember(rows.values())


def completed(place: int, places: int) -> list[Known]:
    """Every so manieth row: those that the package has, and those that it lacks, tested now."""
    kept, lacking = read(), missing(read())
    tested = {mutant.name for mutant in lacking}
    rows = [fault for fault in kept if fault.name not in tested][place::places]
    return rows + [measured(mutant) for mutant in lacking[place::places]]


def signatures(rows: Sequence[Known]) -> dict[str, Any]:
    """The matrix as the report has it: `laws` by id, and for each fault a hexadecimal number: the laws that detect it.

    The first law is the highest bit. Faults that no law of the smoke tier detects are left out.
    """
    laws = [law.id for law in properties()]
    return {"laws": laws, "faults": [
        {"name": fault.name, "says": fault.says, "cell": fault.cell, "kind": fault.kind,
         "told_by": f"{_number(laws, fault):0{-(-len(laws) // 4)}x}"} for fault in rows if fault.laws
    ]}  # fmt: skip


def _questions() -> frozenset[str]:
    return frozenset(law.id for law in properties()) | frozenset(SIGNS)


def _is_in(mutant: Mutant) -> bool:
    cell = getattr(mutant, "cell", None)
    return not getattr(mutant, "twin", "") and (cell is None or cell.name in CELLS)


def _number(laws: Sequence[str], fault: Known) -> int:
    return sum(1 << (len(laws) - 1 - i) for i, law in enumerate(laws) if law in fault.shows)


if __name__ == "__main__":
    go_on()
