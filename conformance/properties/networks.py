"""Which networks a law is judged on: few, so that a backend that compiles needs at most thirty programs for all laws.

Called with lengths, always: every cell (run, pullback), `bidirectional` (run, pullback), `stacked` and `last` (run,
loss). Called without: `plain` (run, loss), which also trains, by two rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle, islice

from hypothesis.strategies import SearchStrategy

from conformance.cases import BATCH, HIDDEN, INPUTS, STEPS, Case, cases, network_for, wild_cases
from conformance.cases.networks import hidden_for
from conformance.properties.truncation import CutAndClip
from conformance.registry import Scope, Shape
from rnnspec import Cell, Dense, Last, Layer, Network
from rnnspec.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.policies import Truncated

__all__ = [
    "CUT",
    "Labels",
    "all_cells",
    "bidirectional",
    "cells",
    "last",
    "losses",
    "network_for",
    "padded",
    "plain",
    "pulls",
    "runs",
    "stacked",
]

Labels = Mapping[str, SearchStrategy[Case]]
CUT = 4
"""The policy of the bidirectional network cuts the edge into this step."""
RAGGED = (STEPS, 3, 0, 5, 6)
"""Lengths for cases that were drawn without padding."""


def cells(scope: Scope) -> Labels:
    """One forward layer of each cell."""
    if not scope.shapes:
        return {cell.name: _with_lengths(network_for(cell)) for cell in scope.cells}
    return {
        f"{cell.name} at {shape.batch},{shape.time},{shape.inputs},{shape.hidden}": _at(shape, cell)
        for shape in scope.shapes
        for cell in scope.cells
    }


def all_cells(scope: Scope) -> Labels:
    """Every cell, one above the other in alternating directions: one program for a backend that compiles."""
    halves = cycle(("forward", "bidirectional", "reverse"))
    layers = [Layer(cell, hidden_for(cell), half) for cell, half in zip(scope.cells, halves, strict=False)]
    return {"all cells": _with_lengths(Network(INPUTS, layers))}


def bidirectional(scope: Scope) -> Labels:
    """Both directions of one cell, under a policy inside the recurrence."""
    return {"bidirectional": _with_lengths(_bidirectional(scope))}


def stacked(scope: Scope) -> Labels:
    """A reverse layer whose cotangents are cut and clipped, the bidirectional one on it, and an output layer."""
    return {"stacked": _with_lengths(_stacked(scope))}


def last(scope: Scope) -> Labels:
    """Two layers of which the last step is read, and an output layer; as many inputs as hidden units."""
    layers = [Layer(_cell(scope, 2), _widths(scope, 2), "bidirectional"), Layer(_cell(scope, 2), _widths(scope, 2))]
    return {"last": _with_lengths(Network(HIDDEN, layers, Last(), Dense(6), SoftmaxCrossEntropy()))}


def plain(scope: Scope) -> Labels:
    """One forward layer and an output layer, called without lengths."""
    net = Network(INPUTS, [Layer(_cell(scope, 5), _widths(scope, 5))], output=Dense(2), loss=SquaredError())
    return {"plain": cases([net]).map(lambda case: replace(case, lengths=None))}


def runs(scope: Scope) -> Labels:
    """Every network that is called with lengths."""
    return {**pulls(scope), **stacked(scope), **last(scope)}


def pulls(scope: Scope) -> Labels:
    """Every network whose pullback is judged."""
    return {**cells(scope), **bidirectional(scope), **_wild(scope, lambda case: True)}


def losses(scope: Scope) -> Labels:
    """Every network whose loss is judged with lengths."""
    return {**stacked(scope), **last(scope)}


def _cell(scope: Scope, index: int) -> Cell:
    return scope.cells[index % len(scope.cells)]


def _widths(scope: Scope, index: int) -> int | dict[str, int]:
    return hidden_for(_cell(scope, index))


def _bidirectional(scope: Scope) -> Network:
    return Network(INPUTS, [Layer(_cell(scope, 2), _widths(scope, 2), "bidirectional", Truncated(CUT))])


def _stacked(scope: Scope) -> Network:
    lower = Layer(_cell(scope, 4), _narrow(_cell(scope, 4)), "reverse", CutAndClip(3, 0.3))
    upper = _bidirectional(scope).layers[0]
    return Network(INPUTS, [lower, upper], output=Dense(2), loss=SigmoidCrossEntropy())


def _narrow(cell: Cell) -> int | dict[str, int]:
    """Widths with an output of `INPUTS` features, so that the layer above is the bidirectional network's."""
    if network_for(cell).features == INPUTS:
        return hidden_for(cell)
    return hidden_for(cell, (INPUTS, HIDDEN, 5, 2, 6))


def _wild(scope: Scope, fits: Callable[[Case], bool]) -> Labels:
    return {"wild": wild_cases(scope.cells).filter(fits)} if scope.wide and not scope.shapes else {}


def padded(labels: Callable[[Scope], Labels]) -> Callable[[Scope], Labels]:
    """The same networks, every case with padding."""
    return lambda scope: {label: strategy.map(_ragged) for label, strategy in labels(scope).items()}


def _with_lengths(net: Network) -> SearchStrategy[Case]:
    def lengthen(case: Case) -> Case:
        given = replace(case, lengths=case.lengths or (STEPS,) * BATCH)
        return given if given.seed % 2 else _ragged(given)

    return cases([net]).map(lengthen)


def _ragged(case: Case) -> Case:
    """The case with padding: a full row, one without a step and others where there was none."""
    if not case.batch or case.ends.min() < case.steps:
        return case
    fractions = (RAGGED[(row + case.seed // 2) % len(RAGGED)] for row in range(case.batch))
    return replace(case, lengths=tuple(case.steps * fraction // STEPS for fraction in fractions))


def _at(shape: Shape, cell: Cell) -> SearchStrategy[Case]:
    layer = Layer(cell, hidden_for(cell, (shape.hidden, HIDDEN, 5, 2, 6)))
    net = Network(shape.inputs, [layer], loss=SquaredError())

    def resize(case: Case) -> Case:
        lengths = tuple(n * shape.time // STEPS for n in islice(cycle(case.lengths or (STEPS,)), shape.batch))
        return replace(case, steps=shape.time, batch=shape.batch, lengths=lengths)

    return _with_lengths(net).map(resize)
