"""Tables of Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["number", "table", "yes"]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    names = tuple(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def yes(held: bool) -> str:
    return "yes" if held else "no"
