"""Lines of handwritten digits: 1 to 12 of scikit-learn's scans, joined with gaps, sheared, moved and scaled.

The scans are split once: no scan that a test line is made of is ever trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HEIGHT, SIDE, MOST = 16, 8, 12
WHITE, CONTRAST = 5.0, 3.2
"""Pixels are 0..16; these are taken away, and divided by, so that initial weights feel them."""
SPLIT_SEED = 0


@dataclass(frozen=True)
class Scans:
    """Images (count, 8, 8) of 0 (white) to 16 (black), and the digits that they show."""

    images: np.ndarray
    digits: np.ndarray

    def take(self, rows: Sequence[int]) -> Scans:
        return Scans(self.images[rows], self.digits[rows])


@dataclass(frozen=True)
class Line:
    """An image (height, width), black on white, and its digits."""

    image: np.ndarray
    digits: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Columns of pixels (time, batch, height), how many of them are real, and the digits with -1 behind them."""

    columns: np.ndarray
    lengths: np.ndarray
    digits: np.ndarray


def scans() -> tuple[Scans, Scans, Scans]:
    """Those for training, for validation and for testing: 60, 15 and 25 per cent."""
    found = load_digits()
    everything = Scans(found.images, found.target)
    rest, testing = train_test_split(np.arange(len(found.target)), test_size=0.25, random_state=SPLIT_SEED)
    training, validation = train_test_split(rest, test_size=0.2, random_state=SPLIT_SEED)
    return everything.take(training), everything.take(validation), everything.take(testing)


def written(source: Scans, rng: np.random.Generator) -> Line:
    """One line: every digit with its own shear, scale and height, and gaps of -1 to 4 pixels."""
    chosen = rng.integers(0, len(source.digits), rng.integers(1, MOST + 1))
    page, right, here = np.zeros((HEIGHT, (SIDE * 2 + 4) * MOST)), 2, 2
    for i in chosen:
        digit = _bent(source.images[i], rng)
        page[:, here : here + digit.shape[1]] = np.maximum(page[:, here : here + digit.shape[1]], digit)
        right = max(right, here + digit.shape[1])
        here += digit.shape[1] + int(rng.integers(-1, 5))
    return Line(page[:, : right + 2], tuple(int(d) for d in source.digits[chosen]))


def lines(source: Scans, count: int, seed: int) -> list[Line]:
    """The same lines for the same seed."""
    rng = np.random.default_rng(seed)
    return [written(source, rng) for _ in range(count)]


def batch(given: Sequence[Line], multiple: int = 16) -> Batch:
    """Lines as one batch; its time is rounded up, so that a backend that compiles needs few programs."""
    lengths = np.array([line.image.shape[1] for line in given])
    time = -(-int(lengths.max()) // multiple) * multiple
    columns = np.zeros((time, len(given), HEIGHT), np.float32)
    digits = np.full((len(given), MOST), -1)
    for n, line in enumerate(given):
        columns[: lengths[n], n] = (line.image.T - WHITE) / CONTRAST
        digits[n, : len(line.digits)] = line.digits
    return Batch(columns, lengths, digits)


def batches(given: Iterable[Line], size: int) -> list[Batch]:
    """Lines of like length together."""
    ordered = sorted(given, key=lambda line: line.image.shape[1])
    return [batch(ordered[low : low + size]) for low in range(0, len(ordered), size)]


def _bent(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A scan on a strip of the line's height: scaled by 0.8 to 1.25, sheared within 0.3, moved within 2 pixels."""
    scale, shear, down = rng.uniform(0.8, 1.25), rng.uniform(-0.3, 0.3), rng.uniform(-2, 2)
    width = int(np.ceil(SIDE * scale * (1 + abs(shear))))
    matrix = np.array([[1.0, 0.0], [shear, 1.0]]) / scale
    middle = np.array([(HEIGHT - 1) / 2 + down, (width - 1) / 2])
    offset = np.full(2, (SIDE - 1) / 2) - matrix @ middle
    return affine_transform(image, matrix, offset, (HEIGHT, width), order=1)
