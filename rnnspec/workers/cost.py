"""What a step of several workers costs on paper: what each of them sends, and how long that takes on a link.

>>> link = Link(bandwidth=10e9 / 8, latency=20e-6)      # 10 Gbit/s
>>> sum_ = ring(vector(1_000_000, workers=8), workers=8)
>>> round(sum_.size), sum_.messages
(7000259, 14)
>>> round(1e3 * link.seconds(sum_), 2), "milliseconds"
(5.88, 'milliseconds')

Nothing here is measured, and nothing here moves. What the model leaves out makes a real step slower, where workers wait
for the slowest one or share a link, or quicker, where they send while they still compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnspec.workers.digits import DIGITS

__all__ = ["Link", "Moved", "direct", "gain", "handed_on", "ring", "sent_on", "turns", "vector"]


@dataclass(frozen=True)
class Moved:
    """What one worker sends: `size` bytes, in so many messages of which each waits for the one before."""

    size: float
    messages: int

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.size + other.size, self.messages + other.messages)

    def __mul__(self, times: int) -> Moved:
        return Moved(times * self.size, times * self.messages)


@dataclass(frozen=True)
class Link:
    """What joins a worker to the others: `bandwidth` in bytes a second each way, `latency` in seconds a message."""

    bandwidth: float
    latency: float

    def seconds(self, moved: Moved) -> float:
        """The time of what one worker sends; the others send theirs at the same time."""
        return moved.messages * self.latency + moved.size / self.bandwidth


def vector(parameters: int, workers: int, itemsize: int = 4) -> int:
    """The bytes that a step adds up: the gradients, the loss, and the digits of the count and of each worker's mark."""
    return itemsize * (parameters + 1 + DIGITS * (1 + workers))


def ring(size: float, workers: int) -> Moved:
    """A sum of `size` bytes around a ring: each part goes round once to be added up, and once to reach everyone."""
    return Moved(2 * (workers - 1) / workers * size, 2 * (workers - 1))


def direct(size: float, workers: int) -> Moved:
    """A sum of `size` bytes in which each worker adds up one part, and sends it to all: the bytes of a ring."""
    return Moved(2 * (workers - 1) / workers * size, 2 if workers > 1 else 0)


def handed_on(states: Sequence[float], workers: int, by: Callable[[float, int], Moved] = ring) -> Moved:
    """States handed on through windows of time, one of each worker, and their cotangents back, by sums.

    `states` are the bytes of each stage's states: of each layer in a wavefront, of all layers together in a chain of
    windows. At each moment one sum, which `by` takes, hands on the states of all stages that run then.
    """
    moved = Moved(0, 0)
    for moment in range(turns(len(states), workers)):
        at_work = [size for at, size in enumerate(states) if 0 <= moment - at < workers]
        moved += by(sum(at_work), workers) * 2
    return moved


def sent_on(states: Sequence[float], workers: int) -> Moved:
    """As `handed_on`, where each worker sends what it hands on to the next one alone: what a link of two would take."""
    hops = turns(len(states), workers) - 1 if workers > 1 else 0
    return Moved(max(states), 1) * (2 * hops)


def turns(stages: int, workers: int) -> int:
    """The moments, each way, until every stage has run in every worker's window, several of them at once."""
    return stages + workers - 1


def gain(workers: int, local: float, exchange: float) -> float:
    """How many times the rows of one worker all of them do in the same time; seconds of a worker's own step and sum."""
    return workers * local / (local + exchange)
