"""Cases that remember: gains are sought until the end of each row depends on its beginning, by the measured adjoint.

The search knows a cell by nothing but its parameters. It first tries large changes of one parameter at a time, then
small ones of several, on short sequences, where it demands that gradients neither fade nor grow. Longer sequences start
from what it found. So a cell that nobody listed is treated as the others are. A cell that finds no such gains keeps the
best ones, and `memory` says what it forgets.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance.cases import found_gains
from conformance.cases.case import Case
from conformance.cases.gains import Gain, parts
from conformance.cases.gates import still
from conformance.cases.networks import hidden_for
from conformance.cases.reach import FAINT, LEAST, MOST, MOST_OF_STATES, Row, least_of_inputs, memory, rows, unread
from conformance.cases.shelf import SHELF
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["Remembering", "alone", "begun", "drawn", "remembering", "search", "sought"]

Array = Any


@dataclass(frozen=True)
class _Stage:
    """A part of the search: over so many steps, with so many candidates in each generation."""

    steps: int
    candidates: int
    generations: int
    screens: int = 0


STAGES = (_Stage(48, 20, 24, screens=4), _Stage(160, 16, 8))
"""Before the case's own number of steps, where they are fewer."""
LAST, AGAIN = (8, 8), (10, 8)
"""Candidates and generations over all steps: of a layer by itself, and of a case that begins with what was found."""
DRAWN = 4
"""How often a case is drawn."""
ENOUGH = 3
"""Of so many cases that remember, the one with the fewest still gates is taken."""
SEVERAL = 4
"""A layer by itself remembers with so many drawings of its parameters, so that its gains serve others."""
MOST_UNITS, FEW_UNITS = 6, (3, 2, 4, 2, 3)
"""A layer of more units is searched at these widths."""
MARGIN = 4.0
"""What the search aims at is so much better than what a case needs."""
DRIFT = 1.5
"""How far logarithms of gradients may drift from the first steps to the last before the search minds."""
MOVES = {"U": ((1 / 64, 1.0), (1 / 64, 0.0), (2.0, 0.0), (0.5, 0.0)), "W": ((0.25, 0.0),)}
SHIFTS = ((1.0, 2.0), (1.0, -2.0), (1.0, 5.0), (1.0, -5.0))
"""The large changes of one parameter: a factor of its factor, and a shift of its shift."""


class Remembering(Case):
    """A drawn case whose gains are sought where it is tested, since that takes seconds and many are drawn only."""

    def tested(self) -> Case:
        """The case that remembers; another process may have sought it."""
        case = Case(**{field.name: getattr(self, field.name) for field in fields(self)})
        (seed, gains), _ = SHELF.get(lambda: f"remembers {case.code()}", lambda: _drawn_again(remembering(case)))
        return replace(case, seed=seed, gains=gains)


def _drawn_again(found: Case) -> tuple[int, tuple[Gain, ...]]:
    return found.seed, found.gains


@lru_cache(maxsize=256)
def remembering(case: Case) -> Case:
    """The case with gains by which it remembers, as far as its cells can.

    One that forgets is drawn again, and one with gates that stay open or closed, of which `gates.still` tells.
    """
    found = found_gains.of_case(case)
    if found is not None:
        return replace(case, gains=found)
    first = begun(case)
    return drawn(first) or sought(first)


def begun(case: Case) -> Case:
    """The case with the gains that each of its layers has by itself."""
    return replace(case, gains=_known(case))


def drawn(case: Case) -> Case | None:
    """The first drawing of the case that remembers with the gains that it has; None if none does."""
    kept = list[Case]()
    for again in range(DRAWN):
        for gains in (case.gains, _restored(case.gains)):
            found = replace(case, seed=case.seed + again, gains=gains)
            if memory(found).lost:
                break
            if not still(found):
                return found
            kept.append(found)
        if len(kept) >= ENOUGH:
            break
    return min(kept, key=lambda found: len(still(found)), default=None)


def _restored(gains: tuple[Gain, ...]) -> tuple[Gain, ...]:
    """The gains without those that make input maps smaller, which hold gates where they are."""
    return tuple(replace(gain, factor=max(gain.factor, 1.0)) if gain.name.split(".")[-2] == "W" else gain
                 for gain in gains)  # fmt: skip


def _known(case: Case) -> tuple[Gain, ...]:
    """The gains of each layer by itself."""
    return tuple(replace(gain, name=f"layers.{i}.{half}.{gain.name}") for i, layer in enumerate(case.net.layers)
                 for half in layer.halves if layer.cell.states
                 for gain in _of_layer(alone(layer), case.steps))  # fmt: skip


def sought(case: Case, generations: int = AGAIN[1]) -> Case:
    """The case with gains that are sought for it alone, from those that it has.

    The search ends where the case remembers, or after so many generations.
    """
    search = _Search(replace(case, gains=()))
    if not search.names:
        return case
    known = {gain.name: (gain.factor, gain.shift) for gain in case.gains}
    start = np.array([known.get(name, (1.0, 0.0)) for name in search.names])
    return replace(case, gains=search.gains(search.best(start, _Stage(case.steps, AGAIN[0], generations), case.steps)))


def alone(layer: Layer) -> Layer:
    """A forward layer of the cell, of few units: gains are of whole maps, so that they serve any width."""
    given = layer.widths_given
    wide = max([given] if isinstance(given, int) else given.values(), default=0) > MOST_UNITS
    hidden = hidden_for(layer.cell, FEW_UNITS) if wide else layer.hidden
    return replace(layer, hidden=hidden, direction="forward", gradient=None, residual=False)


def _of_layer(layer: Layer, steps: int) -> tuple[Gain, ...]:
    """The gains of a forward layer by itself: those that were found before, or those of a search."""
    found = found_gains.of_layer(layer, steps)
    return search(layer, steps) if found is None else found


@lru_cache(maxsize=256)
def search(layer: Layer, steps: int) -> tuple[Gain, ...]:
    """The gains of a forward layer by itself, by the names of its parameters."""
    net = Network(2 * (layer.heads or 1), [layer])
    candidates = _Search(Case(net, steps, 2), seeds=SEVERAL)
    if not candidates.names:
        return ()
    found = np.array([(1.0, 0.0)] * len(candidates.names))
    for stage in STAGES:
        if stage.steps < steps:
            found = candidates.best(found, stage, steps)
    screens = 0 if steps > STAGES[0].steps else 2
    found = candidates.best(found, _Stage(steps, *LAST, screens), steps)
    return tuple(replace(gain, name=gain.name.removeprefix("layers.0.forward.")) for gain in candidates.gains(found))


class _Search:
    """Searches gains of one case; these are (parameters, 2), a factor and a shift each."""

    def __init__(self, case: Case, seeds: int = 1) -> None:
        self.case, self.seeds = case, seeds
        drawn = [dict(leaves(replace(case, seed=case.seed + i).arrays().params)) for i in range(seeds)]
        self.like = case.arrays().params
        self.names = list(drawn[0])
        self.parts = {name: [np.stack(each) for each in zip(*(parts(name, own[name]) for own in drawn), strict=True)]
                      for name in self.names}  # fmt: skip
        self.unread = unread(case)
        self._rng = np.random.default_rng(case.seed)

    def gains(self, found: Array) -> tuple[Gain, ...]:
        """Gains as a case has them."""
        return tuple(Gain(name, *map(float, own)) for name, own in zip(self.names, found, strict=True))

    def best(self, start: Array, stage: _Stage, steps: int) -> Array:
        """The best gains of some generations, of which each begins with the best one so far.

        `steps` is the number at which they are to remember.
        """
        best, least = start, np.inf
        for generation in range(stage.generations):
            if generation < stage.screens:
                tried = self._screened(best)
            elif generation:
                tried = self._varied(best, stage.candidates)
            else:
                tried = best[None]
            found = rows(self.case, self._made(tried), min(stage.steps, self.case.steps))
            with np.errstate(all="ignore"):
                lacks = sum(self._lacks(row, steps) for row in found).reshape(len(tried), -1).sum(1)
                remembers = np.all([self._remembers(row).reshape(len(tried), -1) for row in found], (0, 2))
            lacks = np.where(np.isfinite(lacks), lacks, np.inf)
            chosen = int(np.argmin(np.where(remembers, 0, 1e6) + lacks if stage.steps == steps else lacks))
            if lacks[chosen] < least or (stage.steps == steps and remembers[chosen]):
                best, least = tried[chosen], lacks[chosen]
            if least == 0 or (stage.steps == steps and remembers[chosen]):
                break
        return best

    def _screened(self, best: Array) -> Array:
        """The best one, and each with one large change."""
        found = [best]
        for i, name in enumerate(self.names):
            for factor, shift in MOVES.get(name.split(".")[-2], SHIFTS):
                found.append(np.array(best))
                found[-1][i] = best[i] * (factor, 1.0) + (0.0, shift)
        return np.round(found, 4)

    def _varied(self, best: Array, count: int) -> Array:
        """The best one, and others with changes of a few or of many parameters."""
        size = np.exp(self._rng.uniform(np.log(0.02), np.log(1.5), (count, 1)))
        share = self._rng.choice([0.5 / len(self.names), 1.5 / len(self.names), 0.3], (count, 1))
        chosen = self._rng.random((2, count, len(self.names))) < share
        grown, moved = chosen * size * self._rng.normal(size=chosen.shape)
        found = np.stack([best[:, 0] * 2.0**grown, best[:, 1] + 2 * moved], -1)
        found[0] = best
        return np.round(found, 4)

    def _made(self, tried: Array) -> Tree:
        """The parameters of all candidates, each with every drawing."""
        places = {name: i for i, name in enumerate(self.names)}

        def made(name: str, like: Array) -> Array:
            base, unit = self.parts[name]
            factor, shift = tried[:, places[name]].T.reshape(2, -1, 1, *[1] * like.ndim)
            return (factor * base + shift * unit).reshape(-1, *like.shape)

        return named_map(made, self.like)

    def _read(self, row: Row) -> list[str]:
        return [half for half in row.starts if half not in self.unread]

    def _remembers(self, row: Row) -> Array:
        own = [(row.best(half) >= LEAST) & (row.best(half) <= MOST_OF_STATES) for half in self._read(row)]
        first = row.first >= least_of_inputs(self.case.steps)
        return np.logical_and.reduce([first, row.largest <= MOST, row.recent >= FAINT, *own])

    def _lacks(self, row: Row, steps: int) -> Array:
        """How far the gradients of a row are from those that are sought, as a sum of logarithms."""
        found = _short(row.first, least_of_inputs(steps)) + _short(row.recent, FAINT) + _beyond(row.largest, MOST)
        for half in self._read(row):
            found = found + _short(row.best(half), LEAST) + _beyond(row.best(half), MOST_OF_STATES)
            found = found + sum(0.05 * _short(row.state(half, name), LEAST / MARGIN) for name in row.starts[half])
        seen = row.line.shape[1]
        if seen >= steps or seen < STAGES[0].steps // 2:
            return found
        sizes, third = np.log(row.line + 1e-300), seen // 3
        drift = (sizes[:, :third].mean(1) - sizes[:, -third:].mean(1)) * 1.5 * steps / seen
        return found + (np.abs(drift) - DRIFT).clip(0)


def _short(ratio: Array, least: float) -> Array:
    return np.log(MARGIN * least / np.clip(ratio, 1e-12, None)).clip(0)


def _beyond(ratio: Array, most: float) -> Array:
    return np.log(MARGIN * ratio / most).clip(0)
