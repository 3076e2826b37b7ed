"""A statement: a law in words, for the author of a backend that fails it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Statement", "Theme"]


@dataclass(frozen=True)
class Statement:
    """A law's id, a name of a few words, the law as one sentence, what a failure means, and what to look at first."""

    id: str
    name: str
    says: str
    failure: str = ""
    first: str = ""


@dataclass(frozen=True)
class Theme:
    """The statements about one topic, by id."""

    title: str
    says: str
    statements: tuple[Statement, ...]

    def __getitem__(self, id: str) -> Statement:
        """The statement of an id. Raises KeyError where there is none."""
        return {statement.id: statement for statement in self.statements}[id]
