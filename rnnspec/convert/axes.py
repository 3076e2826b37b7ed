"""Axes of a tensor by letters, some of them joined in parentheses: `h (g o) i`.

>>> import numpy as np
>>> sizes = sizes_of("h (g o) i", (2, 12, 3), {"g": 4})
>>> sizes
{'g': 4, 'h': 2, 'o': 3, 'i': 3}
>>> apart = ordered("h (g o) i", np.zeros((2, 12, 3)), sizes, "ghoi")
>>> apart.shape, joined("h (g o) i", apart, "ghoi").shape
((4, 2, 3, 3), (2, 12, 3))
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["joined", "ordered", "shape_of", "sizes_of"]

Array = Any


def _groups(axes: str) -> list[str]:
    """The letters of each axis of the tensor."""
    return [(one or many).replace(" ", "") for many, one in re.findall(r"\(([^)]*)\)|(\w)", axes)]


def sizes_of(axes: str, shape: tuple[int, ...], known: Mapping[str, int]) -> dict[str, int] | None:
    """The length of each letter, those known and those that the shape shows; None where the shape does not fit."""
    groups, sizes = _groups(axes), dict(known)
    if len(groups) != len(shape):
        return None
    for letters, length in zip(groups, shape, strict=True):
        unknown = [letter for letter in letters if letter not in sizes]
        if len(unknown) == 1:
            sizes[unknown[0]] = length // math.prod(sizes[letter] for letter in letters if letter in sizes)
        if math.prod(sizes[letter] for letter in letters if letter in sizes) != length:
            return None
    return sizes


def shape_of(axes: str, sizes: Mapping[str, int]) -> str:
    """The shape of a tensor; a letter stands for a length that is not known."""
    return f"({', '.join(' * '.join(str(sizes.get(letter, letter)) for letter in group) for group in _groups(axes))})"


def ordered(axes: str, array: Array, sizes: Mapping[str, int], order: str) -> Array:
    """The array with an axis for each letter, in the given order; a letter that it does not have has the length 1."""
    letters = "".join(_groups(axes))
    apart = array.reshape([sizes[letter] for letter in letters])
    there = [letter for letter in order if letter in letters]
    moved = apart.transpose([letters.index(letter) for letter in there])
    return moved.reshape([sizes[letter] if letter in there else 1 for letter in order])


def joined(axes: str, array: Array, order: str) -> Array:
    """The tensor of an array that has an axis for each letter of an order."""
    groups = _groups(axes)
    sizes = dict(zip(order, array.shape, strict=True))
    letters = "".join(groups)
    there = [letter for letter in order if letter in letters]
    moved = array.reshape([sizes[letter] for letter in there]).transpose([there.index(letter) for letter in letters])
    return moved.reshape([math.prod(sizes[letter] for letter in group) for group in groups])
