"""The arrays of a result by dotted name, for a dataclass of the contract, a tree or an array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["named"]

NO_NUMBERS = ("path",)


def named(answer: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their dotted names; `path`, which is no number, and what is None are left out."""
    if is_dataclass(answer) and not isinstance(answer, type):
        parts: Any = [(f.name, getattr(answer, f.name)) for f in fields(answer) if f.name not in NO_NUMBERS]
    elif isinstance(answer, dict):
        parts = answer.items()
    elif isinstance(answer, list | tuple):
        parts = enumerate(answer)
    else:
        if answer is not None:
            yield name, answer
        return
    for key, part in parts:
        yield from named(part, f"{name}.{key}" if name else str(key))
