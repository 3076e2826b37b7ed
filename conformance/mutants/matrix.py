"""The kill matrix: which properties detect which mutant, on the networks that it touches.

A mutant of one cell is judged where that cell stands alone, or on the first network that it stands in; a fault of the
protocol on one network of every kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from conformance.mutants.census import mutants
from conformance.mutants.trial import Reference, killed_by, labels
from conformance.registry import Property, properties
from rnnspec import Mutant

__all__ = ["matrix", "signature", "signatures"]

EXAMPLES = 1
NETWORKS = 2
"""On how many networks a fault of the protocol is judged."""
CELLS = ("elman", "lstm")
"""The cells whose own faults are in the matrix: those of the others are of the same kinds."""


def signature(mutant: Mutant) -> tuple[str, ...]:
    """The properties that detect a mutant, by id."""
    backend = mutant.make(Reference())
    return tuple(law.id for law in properties() if _tells(law, mutant, backend))


def matrix(place: int, places: int) -> dict[str, tuple[str, ...]]:
    """The signatures of every so manieth mutant, by name."""
    return {mutant.name: signature(mutant) for mutant in filter(_is_in, mutants()[place::places])}


def signatures(found: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The matrix as the report has it: `laws` by id, and for each mutant a hexadecimal number: the laws that detect it.

    The first law is the highest bit.
    """
    laws = [law.id for law in properties()]
    digits = math.ceil(len(laws) / 4)
    rows = {m.name: m for m in mutants() if m.name in found}
    return {"laws": laws, "faults": [
        {"name": name, "says": m.says, "cell": getattr(getattr(m, "cell", None), "name", ""),
         "told_by": f"{_number(laws, found[name]):0{digits}x}"} for name, m in rows.items()
    ]}  # fmt: skip


def _is_in(mutant: Mutant) -> bool:
    cell = getattr(mutant, "cell", None)
    return not getattr(mutant, "twin", "") and (cell is None or cell.name in CELLS)


def _tells(law: Property, mutant: Mutant, backend: Any) -> bool:
    most = NETWORKS if getattr(mutant, "cell", None) is None else 1
    touched = labels(law, mutant, backend.capabilities.cells)[:most]
    return any(killed_by(backend, law, label, EXAMPLES) for label in touched)


def _number(laws: Sequence[str], told_by: Sequence[str]) -> int:
    return sum(1 << (len(laws) - 1 - laws.index(law)) for law in told_by)
