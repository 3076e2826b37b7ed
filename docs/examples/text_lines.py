"""Lines of text as images, and as batches: columns of pixels are the time axis, two side by side in a frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

COLUMNS = 2
"""Columns of pixels in a frame: half the steps, and every character still has the three that CTC asks for."""
SHEET = 16
"""The width of a line's paper is a multiple of this, so that lines share their widths and few programs are compiled."""
GREY, CONTRAST = 0.3, 0.2
"""Taken away from the ink, and divided by, so that initial weights feel it."""


@dataclass(frozen=True)
class Line:
    """An image (height, width) of 0 (paper) to 1 (ink), its text, and the hand or the font that it is in."""

    image: np.ndarray
    text: str
    hand: str = ""

    @property
    def width(self) -> int:
        """That of the paper: blank paper to the right of the writing is part of a line."""
        return -(-self.image.shape[1] // SHEET) * SHEET


@dataclass(frozen=True)
class Batch:
    """Lines of one width as frames (time, batch, feature), and their labels (batch, most) with -1 behind the last."""

    lines: tuple[Line, ...]
    frames: np.ndarray
    labels: np.ndarray


Lines = Callable[[int, int], list[Line]]
"""How many lines, and a seed: the same lines for the same seed."""


@dataclass(frozen=True)
class Task:
    """What is to be read: the characters, the height of a line, and where lines come from."""

    alphabet: str
    height: int
    training: Lines
    validation: Lines
    testing: Lines

    def batches(self, lines: Sequence[Line], size: int) -> list[Batch]:
        """Lines of the same width together, `size` of them or what is left over."""
        found = defaultdict(list)
        for line in lines:
            found[line.width].append(line)
        return [self._batch(found[width][low : low + size])
                for width in sorted(found) for low in range(0, len(found[width]), size)]  # fmt: skip

    def _batch(self, lines: Sequence[Line]) -> Batch:
        paper = np.zeros((lines[0].width, len(lines), self.height), np.float32)
        labels = np.full((len(lines), max(len(line.text) for line in lines)), -1)
        for n, line in enumerate(lines):
            paper[: line.image.shape[1], n] = line.image.T
            labels[n, : len(line.text)] = [self.alphabet.index(character) for character in line.text]
        return Batch(tuple(lines), _framed((paper - GREY) / CONTRAST), labels)


def _framed(columns: np.ndarray) -> np.ndarray:
    """Columns (time, batch, height), `COLUMNS` of them side by side in a frame."""
    time, batch, height = columns.shape
    parted = columns.reshape(time // COLUMNS, COLUMNS, batch, height)
    return np.ascontiguousarray(parted.swapaxes(1, 2).reshape(time // COLUMNS, batch, COLUMNS * height))
