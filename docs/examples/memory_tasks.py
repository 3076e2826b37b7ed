"""Two tasks that only a memory of the whole sequence solves, and that say how good no memory at all can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from rnnspec import Dense, Last, Layer, Network, losses

SYMBOLS, COPIED = 8, 10
BLANK, GO = SYMBOLS, SYMBOLS + 1


class Batch(NamedTuple):
    """Inputs (time, batch, feature) and the targets of the loss."""

    inputs: Any
    targets: Any


class Task(Protocol):
    """What a network has to learn."""

    @property
    def name(self) -> str: ...

    @property
    def chance(self) -> float:
        """The error of the best answer that knows nothing of the sequence."""

    def network(self, layer: Layer) -> Network: ...

    def batch(self, rng: np.random.Generator, rows: int) -> Batch: ...

    def error(self, outputs: Any, targets: Any) -> float:
        """What is to become small."""


@dataclass(frozen=True)
class Adding:
    """The adding problem: the sum of two of the `steps` numbers in 0..1, those that the second channel marks.

    One mark is in each half of the sequence. The error is the mean squared one; whoever answers 1 has that of two
    uniform numbers' variance. Hochreiter and Schmidhuber (1997), section 5.4, as Le et al. (2015) and others use it.
    """

    steps: int
    inputs: ClassVar[int] = 2
    chance: ClassVar[float] = 1 / 6

    @property
    def name(self) -> str:
        return f"adding, T = {self.steps}"

    def network(self, layer: Layer) -> Network:
        return Network(self.inputs, [layer], Last(), Dense(1), losses.SquaredError())

    def batch(self, rng: np.random.Generator, rows: int) -> Batch:
        numbers, marks = rng.uniform(size=(self.steps, rows)), np.zeros((self.steps, rows))
        half = self.steps // 2
        marks[rng.integers(0, half, rows), np.arange(rows)] = 1
        marks[rng.integers(half, self.steps, rows), np.arange(rows)] = 1
        return Batch(np.stack([numbers, marks], -1), (numbers * marks).sum(0)[:, None])

    def error(self, outputs: Any, targets: Any) -> float:
        return float(np.mean((outputs - targets) ** 2))


@dataclass(frozen=True)
class Copying:
    """Copy memory: ten symbols of eight are shown, then blanks; at the sign to go, `steps` later, they are said again.

    A sequence has `steps` + 20 steps, at each of which one of ten classes is named. The error is the mean cross-entropy
    of a step, in nats; whoever remembers nothing says blank until the sign, then guesses. Arjovsky et al. (2016), after
    Hochreiter and Schmidhuber (1997).
    """

    steps: int
    inputs: ClassVar[int] = SYMBOLS + 2

    @property
    def name(self) -> str:
        return f"copying, T = {self.steps}"

    @property
    def chance(self) -> float:
        return COPIED * math.log(SYMBOLS) / (self.steps + 2 * COPIED)

    def network(self, layer: Layer) -> Network:
        return Network(self.inputs, [layer], output=Dense(self.inputs), loss=losses.SoftmaxCrossEntropy())

    def batch(self, rng: np.random.Generator, rows: int) -> Batch:
        shape = (self.steps + 2 * COPIED, rows)
        shown, said = np.full(shape, BLANK), np.full(shape, BLANK)
        shown[:COPIED] = said[-COPIED:] = rng.integers(0, SYMBOLS, (COPIED, rows))
        shown[-COPIED - 1] = GO
        return Batch(np.eye(self.inputs)[shown], said)

    def error(self, outputs: Any, targets: Any) -> float:
        shifted = outputs - outputs.max(-1, keepdims=True)
        normed = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return float(-np.take_along_axis(normed, targets[..., None], -1).mean())
