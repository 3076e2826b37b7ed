"""Lines of handwritten digits: 1 to 12 of scikit-learn's scans, joined with gaps, sheared, moved and scaled.

The scans are split once: no scan that a test line is made of is ever trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from text_lines import Line, Task

HEIGHT, SIDE, MOST, MARGIN = 16, 8, 12, 2
SPLIT_SEED = 0


@dataclass(frozen=True)
class Scan:
    """An image of 0 (paper) to 1 (ink), 8 by 8 pixels in a border of one, and the digit that it shows."""

    image: Image.Image
    digit: int


@dataclass(frozen=True)
class Hand:
    """How a digit is written: ranges that are drawn from. Shear and turn are tangents, `down` is in pixels."""

    scale: tuple[float, float] = (0.8, 1.25)
    shear: float = 0.3
    down: float = 2.0
    turn: float = 0.0
    stretch: float = 0.0
    ink: float = 1.0
    """The palest that the ink gets."""


ANY = Hand()
UNSTEADY = Hand(scale=(0.75, 1.3), shear=0.4, turn=0.12, stretch=0.12, ink=0.75)
"""For training: more than there is to read, since there are few scans."""


@lru_cache(maxsize=1)
def scans() -> tuple[list[Scan], list[Scan], list[Scan]]:
    """Those for training, for validation and for testing: 67.5, 7.5 and 25 per cent."""
    found = load_digits()
    images = np.pad(found.images / 16, ((0, 0), (1, 1), (1, 1))).astype(np.float32)
    everything = [Scan(Image.fromarray(a), int(digit)) for a, digit in zip(images, found.target, strict=True)]
    rest, testing = train_test_split(everything, test_size=0.25, random_state=SPLIT_SEED)
    training, validation = train_test_split(rest, test_size=0.1, random_state=SPLIT_SEED)
    return training, validation, testing


def lines(part: int, hand: Hand, count: int, seed: int) -> list[Line]:
    """Lines of scans of one part."""
    rng, source = np.random.default_rng(seed), scans()[part]
    return [_line(source, hand, rng) for _ in range(count)]


def _line(source: list[Scan], hand: Hand, rng: np.random.Generator) -> Line:
    """Every digit bent in its own way, with gaps of -1 to 4 pixels."""
    chosen = [source[i] for i in rng.integers(0, len(source), rng.integers(1, MOST + 1))]
    page, right, here = np.zeros((HEIGHT, (SIDE * 3 + 4) * MOST)), MARGIN, MARGIN
    for scan in chosen:
        digit = _bent(scan.image, hand, rng)
        place = page[:, here : here + digit.shape[1]]
        np.maximum(place, digit, out=place)
        right = max(right, here + digit.shape[1])
        here += digit.shape[1] + int(rng.integers(-1, 5))
    return Line(page[:, : right + MARGIN], "".join(str(scan.digit) for scan in chosen))


def _bent(image: Image.Image, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """A scan on a strip of the line's height."""
    scale, ink = rng.uniform(*hand.scale), rng.uniform(hand.ink, 1.0)
    down, shear, turn, stretch = rng.uniform(-1, 1, 4) * (hand.down, hand.shear, hand.turn, hand.stretch)
    wide = scale * (1 + stretch)
    width = int(np.ceil(SIDE * wide * (1 + abs(shear) + abs(turn))))
    a, b, c, d = 1 / wide, (shear + turn) / wide, -turn / scale, 1 / scale
    x, y, middle = width / 2, HEIGHT / 2 + down, SIDE / 2 + 1
    to_source = (a, b, middle - a * x - b * y, c, d, middle - c * x - d * y)
    strip = image.transform((width, HEIGHT), Image.Transform.AFFINE, to_source, Image.Resampling.BILINEAR)
    return np.asarray(strip) * ink


TASK = Task("0123456789", HEIGHT, partial(lines, 0, UNSTEADY), partial(lines, 1, ANY), partial(lines, 2, ANY))
