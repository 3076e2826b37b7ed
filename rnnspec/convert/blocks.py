"""The text of a tensor: the maps that it holds, one below another and side by side, some of them transposed.

    "W.i W.f"                   two maps, one below the other
    "W.i W.f | U.i U.f"         to the right of them two others, as in one map of (x, h)
    "W.i.T U.i.T | W.f.T U.f.T" the same as before, transposed
    "(W.i W.f)"                 rows in turn: the first of W.i, the first of W.f, the second of W.i, and so on
    "(W.i W.f).T"               the same, transposed: columns in turn

>>> [[part.name for part in column] for column in read("(W.i W.f) | U.i.T b.f")]
[['W.i', 'W.f'], ['U.i', 'b.f']]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from rnnspec.errors import ArgumentError

__all__ = ["Blocks", "Part", "pieces", "read", "renamed"]

Array = Any
Shape = tuple[int, ...]
BESIDE, FLIPPED = "|", ".T"
ONE = r"[^\s()|]+"
TURNS = rf"\(((?:\s*{ONE}(?<!\.T)(?=[\s)]))+)\s*\)"
PIECE = re.compile(rf"\s*(?:{TURNS}(\.T)?|({ONE}))(?=\s|$)")
"""Maps in turn, perhaps transposed, or one map."""
WORD = re.compile(rf"\)\.T|{ONE}")


@dataclass(frozen=True)
class Part:
    """One map in a tensor, by name, transposed or not; maps whose rows take turns have one number `piece`."""

    name: str
    flipped: bool = False
    piece: int = 0


def read(text: str) -> list[list[Part]]:
    """The columns of parts that a text names; raises ArgumentError where its parentheses are wrong."""
    return [_column(text, column) for column in text.split(BESIDE)]


def pieces(column: Sequence[tuple[Part, Any]]) -> list[list[tuple[Part, Any]]]:
    """The parts of a column, each with something of its own, apart; those whose rows take turns together."""
    return [list(own) for _, own in groupby(column, lambda each: each[0].piece)]


def _column(text: str, column: str) -> list[Part]:
    found = list(PIECE.finditer(column))
    if "".join(match[0] for match in found) != column.rstrip():
        raise ArgumentError("a layout", "parentheses must enclose the maps whose rows take turns, as in (W.i W.f), "
                            "or, transposed, (W.i W.f).T", repr(text), "see docs/convert.md")  # fmt: skip
    return [Part(name.removesuffix(FLIPPED), bool(flipped) or name.endswith(FLIPPED), number)
            for number, (turns, flipped, one) in enumerate(match.groups() for match in found)
            for name in (turns or one).split()]  # fmt: skip


def renamed(text: str, rename: Callable[[str], str]) -> str:
    """The text with other names of maps."""

    def word(match: re.Match[str]) -> str:
        name = match[0].removesuffix(FLIPPED)
        return match[0] if name == ")" else rename(name) + FLIPPED * match[0].endswith(FLIPPED)

    return WORD.sub(word, text)


@dataclass(frozen=True)
class Blocks:
    """The parts of one tensor with the shapes of their maps, column by column."""

    columns: Sequence[Sequence[tuple[Part, Shape]]]

    @property
    def is_vector(self) -> bool:
        """Whether the tensor has one axis: one column of vectors that lie along it."""
        return len(self.columns) == 1 and all(len(shape) == 1 and not part.flipped for part, shape in self.columns[0])

    @property
    def shape(self) -> Shape:
        """The shape of the tensor."""
        rows, widths = sum(self._placed(piece)[0] for piece in pieces(self.columns[0])), self._widths()
        return (rows,) if self.is_vector else (rows, sum(widths))

    @property
    def fits(self) -> bool:
        """Whether the parts of each column are equally wide, the columns equally long, and maps in turn equally
        large."""
        apart = [pieces(column) for column in self.columns]
        placed = [[self._placed(piece) for piece in column] for column in apart]
        return len({sum(shape[0] for shape in column) for column in placed}) == 1 and all(
            len({shape[1:] for shape in column}) == 1 for column in placed) and all(
            len({shape for _, shape in piece}) == 1 for column in apart for piece in column)  # fmt: skip

    def join(self, maps: Sequence[Array]) -> Array:
        """The tensor of the maps, which are in the order of the text."""
        left = iter(maps)
        columns = [np.concatenate([self._laid(piece, [next(left) for _ in piece]) for piece in pieces(column)])
                   for column in self.columns]  # fmt: skip
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def split(self, tensor: Array) -> Iterator[tuple[str, Array]]:
        """The maps that a tensor of this shape holds, by name, in the order of the text."""
        bounds = np.cumsum(self._widths())[:-1]
        whole = [tensor] if self.is_vector else np.split(tensor, bounds, axis=1)
        for column, block in zip(self.columns, whole, strict=True):
            apart = pieces(column)
            ends = np.cumsum([self._placed(piece)[0] for piece in apart])[:-1]
            for piece, own in zip(apart, np.split(block, ends), strict=True):
                rows = (own.T if piece[0][0].flipped else own).reshape(-1, len(piece), *piece[0][1][1:])
                for turn, (part, shape) in enumerate(piece):
                    yield part.name, rows[:, turn].reshape(shape)

    def _placed(self, piece: Sequence[tuple[Part, Shape]]) -> Shape:
        """The shape of a piece in the tensor."""
        part, (length, *width) = piece[0]
        if self.is_vector:
            return (len(piece) * length,)
        whole = (len(piece) * length, *(width or [1]))
        return whole[::-1] if part.flipped else whole

    def _laid(self, piece: Sequence[tuple[Part, Shape]], maps: Sequence[Array]) -> Array:
        rows = np.stack(maps, axis=1)
        whole = rows.reshape(-1) if self.is_vector else rows.reshape(-1, *(rows.shape[2:] or (1,)))
        return whole.T if piece[0][0].flipped else whole

    def _widths(self) -> list[int]:
        return [(*self._placed(pieces(column)[0]), 1)[1] for column in self.columns]
