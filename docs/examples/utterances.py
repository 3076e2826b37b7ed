"""The Japanese vowels of Kudo, Toyama and Shimbo (1999): nine men say /ae/, and 12 numbers describe each 6.4 ms of it.

The recordings, as 12 LPC cepstra for each frame, come with the wheel of sktime, whose code is not loaded. They are
split as published: 270 utterances for training, 30 of each speaker, and 370 of other occasions for testing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution

import numpy as np

SPEAKERS, CEPSTRA = 9, 12


@dataclass(frozen=True)
class Utterances:
    """Frames (time, batch, cepstrum), zeros behind an utterance's end, how many are real, and who speaks (0..8)."""

    frames: np.ndarray
    lengths: np.ndarray
    speakers: np.ndarray

    def take(self, rows: np.ndarray) -> Utterances:
        return Utterances(self.frames[:, rows], self.lengths[rows], self.speakers[rows])

    @property
    def real(self) -> np.ndarray:
        """Which frames are no padding: (time, batch)."""
        return np.arange(len(self.frames))[:, None] < self.lengths


def utterances() -> tuple[Utterances, Utterances]:
    """Those for training and those for testing; each cepstrum has mean 0 and deviation 1 over the training frames."""
    training, testing = (_joined(_read(f"JapaneseVowels_{part}.ts")) for part in ("TRAIN", "TEST"))
    heard = training.frames[training.real]
    return tuple(_standard(part, heard.mean(0), heard.std(0)) for part in (training, testing))


def _read(name: str) -> Iterator[tuple[np.ndarray, int]]:
    """Each utterance (time, cepstrum) with its speaker: a line has 12 rows of numbers and a class, parted by colons."""
    path = distribution("sktime").locate_file(f"sktime/datasets/data/JapaneseVowels/{name}")
    for line in path.read_text().split("@data\n")[1].split():
        *cepstra, speaker = line.split(":")
        yield np.array([row.split(",") for row in cepstra], float).T, int(speaker) - 1


def _joined(found: Iterator[tuple[np.ndarray, int]]) -> Utterances:
    spoken, speakers = zip(*found, strict=True)
    lengths = np.array([len(each) for each in spoken])
    frames = np.zeros((lengths.max(), len(spoken), CEPSTRA))
    for n, each in enumerate(spoken):
        frames[: len(each), n] = each
    return Utterances(frames, lengths, np.array(speakers))


def _standard(given: Utterances, mean: np.ndarray, deviation: np.ndarray) -> Utterances:
    frames = np.where(given.real[:, :, None], (given.frames - mean) / deviation, 0.0)
    return Utterances(frames, given.lengths, given.speakers)
