"""Models of text that count: how often a character comes at all, and how often after each other one."""

from __future__ import annotations

import numpy as np
from king_james import Text


def unigram(training: Text, testing: Text) -> float:
    """The mean of -ln p(character) over a text, from the counts of another; every count begins at 1."""
    size = len(training.alphabet)
    counts = 1 + np.bincount(training.numbers, minlength=size)
    return float(-np.log(counts / counts.sum())[testing.numbers].mean())


def bigram(training: Text, testing: Text) -> float:
    """The mean of -ln p(character | the one before it); every count begins at 1."""
    counts = np.ones((len(training.alphabet),) * 2)
    np.add.at(counts, (training.numbers[:-1], training.numbers[1:]), 1)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    return float(-log_p[testing.numbers[:-1], testing.numbers[1:]].mean())
