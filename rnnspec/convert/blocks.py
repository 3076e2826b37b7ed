"""The text of a tensor: the maps that it holds, one below another and side by side, some of them transposed.

    "W.i W.f"                   two maps, one below the other
    "W.i W.f | U.i U.f"         to the right of them two others, as in one map of (x, h)
    "W.i.T U.i.T | W.f.T U.f.T" the same as before, transposed

>>> [[part.name for part in column] for column in read("W.i W.f | U.i.T b.f")]
[['W.i', 'W.f'], ['U.i', 'b.f']]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Blocks", "Part", "read", "renamed"]

Array = Any
Shape = tuple[int, ...]
BESIDE, FLIPPED = "|", ".T"


@dataclass(frozen=True)
class Part:
    """One map in a tensor, by name, transposed or not."""

    name: str
    flipped: bool = False


def read(text: str) -> list[list[Part]]:
    """The columns of parts that a text names."""
    return [[Part(name.removesuffix(FLIPPED), name.endswith(FLIPPED)) for name in column.split()]
            for column in text.split(BESIDE)]  # fmt: skip


def renamed(text: str, rename: Callable[[str], str]) -> str:
    """The text with other names of maps."""
    return f" {BESIDE} ".join(
        " ".join(f"{rename(part.name)}{FLIPPED * part.flipped}" for part in column) for column in read(text))


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
        rows, widths = sum(self._placed(*each)[0] for each in self.columns[0]), self._widths()
        return (rows,) if self.is_vector else (rows, sum(widths))

    @property
    def fits(self) -> bool:
        """Whether the parts of each column are equally wide, and the columns equally long."""
        placed = [[self._placed(*each) for each in column] for column in self.columns]
        return len({sum(shape[0] for shape in column) for column in placed}) == 1 and all(
            len({shape[1:] for shape in column}) == 1 for column in placed)

    def join(self, maps: Sequence[Array]) -> Array:
        """The tensor of the maps, which are in the order of the text."""
        left = iter(maps)
        columns = [np.concatenate([self._laid(part, next(left)) for part, _ in column]) for column in self.columns]
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def split(self, tensor: Array) -> Iterator[tuple[str, Array]]:
        """The maps that a tensor of this shape holds, by name, in the order of the text."""
        bounds = np.cumsum(self._widths())[:-1]
        whole = [tensor] if self.is_vector else np.split(tensor, bounds, axis=1)
        for column, block in zip(self.columns, whole, strict=True):
            ends = np.cumsum([self._placed(*each)[0] for each in column])[:-1]
            for (part, shape), own in zip(column, np.split(block, ends), strict=True):
                yield part.name, (own.T if part.flipped and len(shape) == 2 else own).reshape(shape)

    def _placed(self, part: Part, shape: Shape) -> Shape:
        """The shape of a part in the tensor."""
        if self.is_vector:
            return shape
        whole = shape if len(shape) == 2 else (*shape, 1)
        return whole[::-1] if part.flipped else whole

    def _laid(self, part: Part, own: Array) -> Array:
        if self.is_vector:
            return own
        whole = own if own.ndim == 2 else own[:, None]
        return whole.T if part.flipped else whole

    def _widths(self) -> list[int]:
        return [(*self._placed(*column[0]), 1)[1] for column in self.columns]
