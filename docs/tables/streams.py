"""The tables of streams: what a frame costs, and what the frameworks' own exporters do with a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import table

__all__ = ["exports_tables", "frames_tables"]


def frames_tables(data: Any) -> Iterator[str]:
    """The microseconds of a frame."""
    yield from table(("backend", "way", "median, us", "95 % of the frames within, us"),
                     ((row["backend"], row["way"], *(f"{1e6 * row[key]:,.0f}" for key in ("median", "most_of_95")))
                      for row in data["rows"]))  # fmt: skip


def exports_tables(data: Any) -> Iterator[str]:
    """One row for each way: what works by default and on Path.FRAMEWORK; then the sentences of what does not."""
    notes: list[str] = []
    rows = [(row["framework"], f"`{row['way']}`", *(_said(found, notes) for found in row["paths"].values()))
            for row in data["rows"]]  # fmt: skip
    yield from table(("framework", "way", "by default", "`Path.FRAMEWORK`"), rows)
    yield ""
    yield from (f"{number}. {note}" for number, note in enumerate(notes, 1))


def _said(found: dict[str, str], notes: list[str]) -> str:
    """What was found of all cases: "works", and of others the number of their note."""
    kinds: dict[str, list[str]] = {}
    for case, said in found.items():
        kinds.setdefault(said, []).append(case)
    notes += [said for said in kinds if said != "works" and said not in notes]
    parts = [(cases, "works" if said == "works" else f"note {notes.index(said) + 1}") for said, cases in kinds.items()]
    if len(parts) == 1:
        return parts[0][1]
    return "; ".join(said if said == "works" else f"{', '.join(cases)}: {said}" for cases, said in parts)
