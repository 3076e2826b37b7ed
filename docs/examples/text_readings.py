"""What was read, and how far it is from what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from text_lines import Batch, Line

import rnnspec
from rnnspec import decoding


@dataclass(frozen=True)
class Reading:
    """A line, and what was read there."""

    line: Line
    answer: str

    @property
    def edits(self) -> int:
        return edits(self.line.text, self.answer)


Logits = Callable[[np.ndarray], np.ndarray]
"""Frames (time, batch, feature) to what a network says of them, (time, batch, class)."""


def logits(be: rnnspec.Backend, net: rnnspec.Network, params: Any) -> Logits:
    return lambda frames: be.to_numpy(be.run(net, params, frames).outputs)


def read(said: Logits, given: Sequence[Batch], alphabet: str) -> list[Reading]:
    """The most probable class of every frame, without repeats and blanks."""
    found: list[Reading] = []
    for part in given:
        rows = decoding.greedy(said(part.frames), blank=len(alphabet))
        answers = ("".join(alphabet[label] for label in row) for row in rows)
        found += (Reading(line, answer) for line, answer in zip(part.lines, answers, strict=True))
    return found


def edits(truth: str, answer: str) -> int:
    """The fewest characters to put in, leave out or exchange: Levenshtein (1966)."""
    above = np.arange(len(answer) + 1)
    for i, character in enumerate(truth, 1):
        row = [i]
        for j, said in enumerate(answer, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (character != said)))
        above = np.array(row)
    return int(above[-1])


def characters(readings: Sequence[Reading]) -> int:
    return sum(len(reading.line.text) for reading in readings)


def character_errors(readings: Sequence[Reading]) -> float:
    return sum(reading.edits for reading in readings) / characters(readings)


def errors_by_hand(readings: Sequence[Reading]) -> dict[str, float]:
    """The character errors of the lines of each hand, by its name."""
    hands = sorted({reading.line.hand for reading in readings})
    return {hand: character_errors([each for each in readings if each.line.hand == hand]) for hand in hands}


def line_errors(readings: Sequence[Reading]) -> float:
    return sum(reading.edits > 0 for reading in readings) / len(readings)
