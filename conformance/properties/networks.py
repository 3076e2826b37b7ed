"""Which networks a law is judged on: few, so that a backend that compiles needs at most thirty programs for all laws
but those on resets, heads and published cells, which have networks of their own.

Called with lengths, always: every cell (run, pullback), `bidirectional` (run, pullback), `stacked` and `last` (run,
loss). Called without: `plain` (loss), which also trains, by two rules, and `whole` (run, pullback). One more is judged
in one of several precisions: `aligned` (loss) in the first, `all_cells` on the framework's path (pullback) in the last.
A backend that compiles nothing is asked about more: every cell without lengths, and networks and shapes that are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice

from hypothesis.strategies import SearchStrategy

from conformance.cases import (
    BATCH,
    HIDDEN,
    INPUTS,
    STEPS,
    Case,
    cases,
    drawn_cases,
    hidden_for,
    modelled,
    network_for,
    wild_cases,
)
from conformance.properties.extents import (
    added_up,
    broad,
    counted,
    crowd,
    extents,
    large_maps,
    many,
    storeys,
    tower,
    vast,
)
from conformance.properties.truncation import CutAndClip
from conformance.registry import Scope, Shape
from rnnspec import Cell, Dense, Last, Layer, Network
from rnnspec.losses import CTC, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.policies import Truncated

__all__ = [
    "ALL",
    "CUT",
    "WIDE",
    "Labels",
    "aligned",
    "all_cells",
    "bidirectional",
    "calls",
    "cells",
    "deep",
    "every_loss",
    "everything",
    "gradients",
    "halves",
    "last",
    "last_of_halves",
    "long",
    "losses",
    "lowered",
    "native",
    "network_for",
    "padded",
    "plain",
    "pulls",
    "read_last",
    "runs",
    "stacked",
    "stepped",
    "trained",
    "unpadded",
    "whole",
    "without_lengths",
]

Labels = Mapping[str, SearchStrategy[Case]]
CUT = 4
"""The policy of the bidirectional network cuts the edge into this step."""
RAGGED = (STEPS, 3, 0, 5, 6)
"""Lengths for cases that were drawn without padding."""
WHOLE = Shape(batch=9, time=37, inputs=17, hidden=20)
"""No power of two among them, and more steps and features than a vector register or a short loop holds."""
BROAD = Shape(batch=2, time=33, inputs=17, hidden=257)
"""States so wide that a compiler's loops are others."""
WIDE, ALL = "wide cells, without lengths", "all cells, without lengths"
"""Labels of `whole`."""
FEW = 5
"""Cells that are all judged, however little time there is."""
LONGER = 12
"""How many times as many steps a long case has."""
DRAWN = 3
"""Labels of drawn networks."""


def cells(scope: Scope) -> Labels:
    """One forward layer of each cell; where programs cost, and cells are many, of all that are affordable."""
    judged = scope.cells if _affords_all(scope) or len(scope.cells) <= FEW else _affordable(scope)
    if not scope.shapes:
        return {cell.name: _with_lengths(network_for(cell)) for cell in judged}
    return {
        f"{cell.name} at {shape.batch},{shape.time},{shape.inputs},{shape.hidden}": _at(shape, cell)
        for shape in scope.shapes
        for cell in judged
    }


def all_cells(scope: Scope) -> Labels:
    """Every cell, one above the other in alternating directions: one program, which the last precision affords."""
    part, parts = scope.share
    affordable = _affords_towers(scope) and (_affords_all(scope) or part == parts - 1)
    net = tower(INPUTS, storeys(scope.cells), hidden_for)
    return {"all cells": _with_lengths(net)} if affordable else {}


def whole(scope: Scope) -> Labels:
    """Every cell, one above the other, called without lengths, at sizes beyond those of the table.

    A backend that compiles is asked for wide states too, of every third cell, since of more above one another too many
    cases are ill-posed: by the first precision, which leaves the other tower to the next where programs are saved.
    """
    if not _affords_towers(scope):
        return {}
    part, parts = scope.share
    found = {}
    if not scope.eager and part == 0:
        found[WIDE] = _sized(BROAD, scope.cells[::3])
    if _affords_all(scope) or part or parts == 1:
        found[ALL] = _sized(WHOLE, scope.cells)
    return found


def _sized(shape: Shape, chosen: Sequence[Cell]) -> SearchStrategy[Case]:
    widths = [shape.hidden + more for more in (0, -1, 1, -3, -2)]
    net = tower(shape.inputs, storeys(tuple(chosen)), lambda cell: hidden_for(cell, widths))
    return cases([net]).map(lambda case: replace(case, steps=shape.time, batch=shape.batch, lengths=None))


def bidirectional(scope: Scope) -> Labels:
    """Both directions of one cell, under a policy inside the recurrence."""
    return {"bidirectional": _with_lengths(_bidirectional(scope))}


def long(scope: Scope) -> Labels:
    """Two layers over more steps than a backend may compute in one block, where each length costs nothing.

    One policy cuts edges where blocks of 64 steps meet, the other's places tell which step a block begins with.
    """
    if not scope.eager or scope.shapes:
        return {}
    lower = Layer(_cell(scope, 2), _widths(scope, 2), "reverse", CutAndClip(4, 0.3))
    upper = Layer(_cell(scope, 3), _widths(scope, 3), "forward", CutAndClip(5, 0.3))
    return {"long": _with_lengths(Network(INPUTS, [lower, upper])).map(_lengthened)}


def deep(scope: Scope) -> Labels:
    """Three layers of one cell and one width, each in both directions, where another network costs nothing."""
    if not scope.eager or scope.shapes:
        return {}
    nets = [Network(INPUTS, [Layer(cell, hidden_for(cell), "bidirectional")] * 3) for cell in scope.cells]
    return {"three bidirectional": _with_lengths(*nets)}


def stacked(scope: Scope) -> Labels:
    """A reverse layer whose cotangents are cut and clipped, the bidirectional one on it, and an output layer."""
    return {"stacked": _with_lengths(_stacked(scope))}


def last(scope: Scope) -> Labels:
    """Two layers in both directions of which the last step is read, and an output layer; as many inputs as units."""
    layers = [Layer(_cell(scope, 2), _widths(scope, 2), "bidirectional")] * 2
    return {"last": _with_lengths(Network(HIDDEN, layers, Last(), Dense(6), SoftmaxCrossEntropy()))}


def last_of_halves(scope: Scope) -> Labels:
    """The last step of both halves, and of the reverse one, with no output layer above, where that costs nothing."""
    if not scope.eager or scope.shapes:
        return {}
    lower = Layer(_cell(scope, 5), _widths(scope, 5), "reverse")
    both = Layer(_cell(scope, 2), _widths(scope, 2), "bidirectional")
    nets = {"last of both halves": [lower, both], "last of the reverse half": [lower]}
    return {label: _with_lengths(Network(INPUTS, layers, Last(), loss=SquaredError())).map(_ragged)
            for label, layers in nets.items()}  # fmt: skip


def read_last(scope: Scope) -> Labels:
    """Every network of which the last step is read."""
    return {**last(scope), **last_of_halves(scope)}


def plain(scope: Scope) -> Labels:
    """One forward layer and an output layer, called without lengths."""
    net = Network(INPUTS, [Layer(_cell(scope, 5), _widths(scope, 5))], output=Dense(2), loss=SquaredError())
    return {"plain": _without_lengths(net)}


def trained(scope: Scope) -> Labels:
    """What is trained: one forward layer, and where rules cost no program halves of two."""
    return {**plain(scope), **halves(scope)}


def stepped(scope: Scope) -> Labels:
    """What one step is judged on: what is trained, and many rows where that costs nothing."""
    return {**trained(scope), **crowd(scope)}


def halves(scope: Scope) -> Labels:
    """Both halves of one layer, a reverse one on them and an output layer, called without lengths."""
    if not scope.eager or scope.shapes:
        return {}
    layers = [Layer(_cell(scope, i), _widths(scope, i), half) for i, half in ((5, "bidirectional"), (3, "reverse"))]
    return {"halves": _without_lengths(Network(INPUTS, layers, output=Dense(2), loss=SquaredError()))}


def aligned(scope: Scope) -> Labels:
    """Both directions of one cell, and an output layer whose loss is CTC: what the first precision affords."""
    if not (_affords_all(scope) or (not scope.brief and scope.share[0] == 0)):
        return {}
    layer = Layer(_cell(scope, 5), _widths(scope, 5), "bidirectional")
    blanks = (0, 3) if scope.eager and not scope.brief else (3,)
    nets = {blank: Network(INPUTS, [layer], output=Dense(4), loss=CTC(blank)) for blank in blanks}
    found = {f"aligned, blank {blank}": _with_lengths(net) for blank, net in nets.items()}
    if len(blanks) > 1:
        found["aligned, long"] = found["aligned, blank 3"].map(_lengthened)
    return found


def without_lengths(scope: Scope) -> Labels:
    """The call without lengths: of `plain`, or where programs cost and `whole` is affordable, of that."""
    return (not scope.eager and whole(scope)) or plain(scope)


def runs(scope: Scope) -> Labels:
    """Every network that is called with lengths."""
    return {**pulls(scope), **stacked(scope), **last(scope)}


def pulls(scope: Scope) -> Labels:
    """Every network whose pullback is judged with lengths."""
    return {**cells(scope), **bidirectional(scope), **_wild(scope)}


def calls(scope: Scope) -> Labels:
    """Those whose pullback is judged, and where they cost nothing every cell without lengths."""
    return {**pulls(scope), **unpadded(scope)}


def unpadded(scope: Scope) -> Labels:
    """Every cell called without lengths, where each may cost another program for that; elsewhere none."""
    if not scope.eager:
        return {}
    return {f"{label}, without lengths": strategy.map(_all_steps) for label, strategy in cells(scope).items()}


def everything(scope: Scope) -> Labels:
    """What the oracle is asked about: every network, with and without lengths, and drawn ones where these are free."""
    return {**runs(scope), **_beyond(scope, turn=0), **broad(scope)}


def gradients(scope: Scope) -> Labels:
    """The same for pullbacks."""
    return {**pulls(scope), **_beyond(scope, turn=1)}


def _beyond(scope: Scope, turn: int) -> Labels:
    """Networks without lengths, read at the end, deeper, longer and larger than the table's, and what is drawn.

    `turn` says which precision begins where they take turns.
    """
    return {**whole(scope), **unpadded(scope), **last_of_halves(scope), **deep(scope), **long(scope),
            **extents(scope, turn), **counted(scope), **added_up(scope), **vast(scope), **large_maps(scope),
            **_drawn(scope)}  # fmt: skip


def losses(scope: Scope) -> Labels:
    """Every network whose loss is judged with lengths."""
    return {**stacked(scope), **last(scope)}


def every_loss(scope: Scope) -> Labels:
    """Every network whose loss is judged with lengths, and drawn, larger and longer ones where these are free."""
    return {**losses(scope), **last_of_halves(scope), **_classes(scope), **many(scope), **_drawn(scope)}


def lowered(scope: Scope) -> Labels:
    """Where the lowering is judged: every cell."""
    return {**cells(scope), **unpadded(scope)}


def native(scope: Scope) -> Labels:
    """Where kernels are judged: without lengths, which many do not know, and with them where that costs nothing."""
    return {**(cells(scope) if scope.eager else {}), **unpadded(scope), **whole(scope), **large_maps(scope)}


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


def _affordable(scope: Scope) -> tuple[Cell, ...]:
    """Every second cell where there is little time. Of two precisions each leaves out every fourth cell, another one,
    for cells that nobody thought of."""
    if scope.brief:
        return scope.cells[::2]
    part, parts = scope.share
    return tuple(cell for i, cell in enumerate(scope.cells) if parts == 1 or i % 4 != part)


def _affords_all(scope: Scope) -> bool:
    """Whether no program need be saved."""
    return scope.eager or scope.wide


def _affords_towers(scope: Scope) -> bool:
    return (scope.eager or not scope.brief) and not scope.shapes


def _classes(scope: Scope) -> Labels:
    """A loss over more classes than a register has lanes."""
    if not scope.eager or scope.shapes:
        return {}
    layer = Layer(_cell(scope, 5), _widths(scope, 5))
    return {"80 classes": _with_lengths(Network(INPUTS, [layer], output=Dense(80), loss=SoftmaxCrossEntropy()))}


def _wild(scope: Scope) -> Labels:
    return {"wild": wild_cases(scope.cells, scope.closed)} if scope.wide and not scope.shapes else {}


def _drawn(scope: Scope) -> Labels:
    """Networks of any depth, direction, policy, reading, loss and size, some of class numbers or with learned states;
    several labels, for several examples each."""
    if not scope.eager or scope.shapes:
        return {}
    return {f"drawn {i}": drawn_cases(scope.cells, scope.closed).map(modelled) for i in range(DRAWN)}


def padded(labels: Callable[[Scope], Labels]) -> Callable[[Scope], Labels]:
    """The same networks, every case with padding."""
    return lambda scope: {label: strategy.map(_ragged) for label, strategy in labels(scope).items()}


def _without_lengths(net: Network) -> SearchStrategy[Case]:
    return cases([net]).map(_all_steps)


def _all_steps(case: Case) -> Case:
    return replace(case, lengths=None)


def _with_lengths(*nets: Network) -> SearchStrategy[Case]:
    def lengthen(case: Case) -> Case:
        given = replace(case, lengths=case.lengths or (STEPS,) * BATCH)
        return given if given.seed % 2 else _ragged(given)

    return cases(nets).map(lengthen)


def _lengthened(case: Case) -> Case:
    return replace(case, steps=LONGER * case.steps, lengths=tuple(LONGER * n for n in case.ends.tolist()))


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
