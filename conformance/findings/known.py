"""The known faults: for each mutant that was tested, its kind and the signs that it shows. They are the kill matrix.

`known.json` lists all signs, and for each fault a hexadecimal number of those that it shows; the first sign is the
highest bit. A fault that was not asked for all of them also has the number of those that it was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conformance.findings.signs import SIGNS

__all__ = ["KNOWN", "Known", "read", "remember"]

KNOWN = Path(__file__).with_name("known.json")


@dataclass(frozen=True)
class Known:
    """One fault: what it says, the cell whose equations it is in, if there is one, its kind, the signs that it shows,
    and the signs that it was asked for.
    """

    name: str
    says: str
    cell: str
    kind: str
    shows: frozenset[str]
    asked: frozenset[str]

    @property
    def laws(self) -> frozenset[str]:
        """The laws that detect it."""
        return self.shows - {*SIGNS}


@cache
def read(file: Path = KNOWN) -> tuple[Known, ...]:
    """The faults that the package remembers."""
    found = json.loads(file.read_text(encoding="utf-8"))
    signs = found["signs"]
    return tuple(
        Known(row["name"], row["says"], row["cell"], row["kind"], _chosen(signs, row["shows"]),
              _chosen(signs, row["asked"]) if "asked" in row else frozenset(signs))
        for row in found["faults"]
    )  # fmt: skip


def remember(faults: Iterable[Known], file: Path = KNOWN) -> None:
    """Keep faults in the package, one a line, by name."""
    faults = sorted(faults, key=lambda fault: fault.name)
    signs = sorted(frozenset[str]().union(*(fault.asked for fault in faults)))
    rows = ",\n".join(json.dumps(_row(fault, signs)) for fault in faults)
    partial = file.with_suffix(".partial")
    partial.write_text(f'{{"signs": {json.dumps(signs)},\n"faults": [\n{rows}\n]}}\n', encoding="utf-8")
    partial.replace(file)


def _row(fault: Known, signs: Sequence[str]) -> dict[str, str]:
    row = {"name": fault.name, "says": fault.says, "cell": fault.cell, "kind": fault.kind,
           "shows": _number(signs, fault.shows)}  # fmt: skip
    return row if fault.asked == frozenset(signs) else row | {"asked": _number(signs, fault.asked)}


def _number(signs: Sequence[str], chosen: Iterable[str]) -> str:
    return f"{sum(1 << (len(signs) - 1 - signs.index(sign)) for sign in chosen):0{-(-len(signs) // 4)}x}"


def _chosen(signs: Sequence[str], number: str) -> frozenset[str]:
    bits = int(number, 16)
    return frozenset(sign for i, sign in enumerate(reversed(signs)) if bits >> i & 1)
