"""A part of a run: machines that share a run test one part each, and the parts together are the whole.

The whole is a list of searches, each known by its id. Parts take turns in this list, so that each has as many as the
others, and about as many of every law. The list is ordered by ids alone: in which order a user names laws or backends
does not matter.

>>> ids = [("P01", "lstm", 0), ("P01", "gru", 0), ("P02", "lstm", 0), ("P02", "lstm", 1)]
>>> parts = [Part(number, 3).own(ids, "numpy f64") for number in (1, 2, 3)]
>>> sorted(id for own in parts for id in own) == sorted(ids), [len(own) for own in parts]
(True, [2, 1, 1])
>>> Part.read("3/16")
Part(number=3, of=16)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["WHOLE", "Part"]

Id = TypeVar("Id", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Part:
    """Part `number`, from 1, of so many."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> Part:
        """The part that a text such as `3/16` names. Raises ValueError for any other text."""
        number, slash, of = text.partition("/")
        if not (slash and _is_whole(number) and _is_whole(of) and 1 <= int(number) <= int(of)):
            raise ValueError(text)
        return cls(int(number), int(of))

    def stretch(self, ids: Iterable[Id]) -> frozenset[Id]:
        """The ids of this part, if each part has a stretch of the ordered list: what is alike stays together."""
        ordered = sorted(set(ids))
        begin, end = (len(ordered) * n // self.of for n in (self.number - 1, self.number))
        return frozenset(ordered[begin:end])

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def own(self, ids: Iterable[Id], where: str) -> frozenset[Id]:
        """The ids of this part. `where` names what is split, such as a backend and its precision.

        An id begins with the group whose ids go to different parts. Within a group the order is that of a hash, so that
        the costliest of each group do not all meet in one part; lists of other names begin with other parts.
        """
        ordered = sorted(set(ids), key=lambda id: (id[0], _hash(repr(id)), repr(id)))
        return frozenset(id for i, id in enumerate(ordered, _hash(where)) if i % self.of == self.number - 1)


WHOLE = Part()


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())
