"""Connectionist temporal classification by plain loops: row by row, step by step, place by place.

Impossible paths are left out: a place that no path has reached is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.oracle.arithmetic import Array
from conformance.oracle.number import Number, Tape
from rnnspec.losses import CTC
from rnnspec.primitives import logsumexp

__all__ = ["aligned"]

Reached = Number | None


def aligned(tape: Tape, loss: CTC, outputs: Number, targets: Array, ends: Array) -> Number:
    """The sum of the loss over rows; `outputs` (runs, time * batch, features), `targets` (batch, labels), -1 after."""
    batch, total = len(ends), tape.lift(0.0)
    features = outputs.value.shape[-1]
    for n, end in enumerate(ends):
        labels = [int(label) for label in targets[n] if label >= 0]
        steps = [tape.take(outputs, np.array([t * batch + n])) for t in range(end)]
        ended = _ended(tape, loss, steps, labels, features)
        total = total + (float("inf") if ended is None else -ended)
    return total


def _ended(tape: Tape, loss: CTC, steps: Sequence[Number], labels: Sequence[int], features: int) -> Reached:
    """log p(labels), None where no path spells them."""
    spelt = [loss.blank, *(place for label in labels for place in (label, loss.blank))]
    reached: list[Reached] = [tape.lift(0.0), *[None] * (len(spelt) - 1)]
    for z in steps:
        cost = {c: loss.at(z, _one(tape, c, features)) for c in dict.fromkeys(spelt)}
        reached = [_reached(tape, reached, spelt, loss.blank, s, cost[c]) for s, c in enumerate(spelt)]
    return _sum(tape, reached[-2:])


def _reached(
    tape: Tape, before: Sequence[Reached], spelt: Sequence[int], blank: int, s: int, cost: Number
) -> Reached:
    origins = [before[s], before[s - 1] if s else None]
    if s >= 2 and spelt[s] not in (blank, spelt[s - 2]):
        origins.append(before[s - 2])
    known = _sum(tape, origins)
    return None if known is None else known - cost


def _sum(tape: Tape, logarithms: Sequence[Reached]) -> Reached:
    known = [number for number in logarithms if number is not None]
    if len(known) < 2:
        return known[0] if known else None
    found: Number = logsumexp(tape.join(known))
    return found


def _one(tape: Tape, c: int, features: int) -> Number:
    return Number(tape, tape.rounding.array((np.arange(features) == c)[None, None, :]))
