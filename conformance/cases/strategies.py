"""Hypothesis strategies of cases: they draw structure, seeds and scales, not single numbers of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from conformance.cases.affine import affine_cells
from conformance.cases.case import Case, Pull
from conformance.cases.drawing import drawn_cells, drawn_single_steps
from conformance.cases.networks import BATCH, HIDDEN, INPUTS, STEPS, hidden_for, network_for
from rnnspec import cells
from rnnspec.feed_forward import activated
from rnnspec.layer import DIRECTIONS, Layer
from rnnspec.losses import CTC, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.network import Network
from rnnspec.output import Dense, Last, Read, Steps
from rnnspec.policies import Truncated
from rnnspec.primitives import relu, tanh
from rnnspec.tracing.cell import Cell

__all__ = ["affine_cell_cases", "cases", "drawn_cases", "drawn_cell_cases", "drawn_cell_programs", "wild_cases"]

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.integers(0, 100).map(lambda i: round(0.1 * 30.0 ** (i / 100), 4))
"""0.1 to 3, log-uniform."""
PADDINGS = st.sampled_from((0.0, nan, inf, -1e30, 1.0))
PULLS = st.sampled_from(tuple(Pull))


def cases(networks: Sequence[Network]) -> SearchStrategy[Case]:
    """Cases at the default sizes over the given networks, with lengths; the first network also without.

    Half of the cases have ragged lengths, with a full row and a row of length 0; the others have full rows.
    """
    return _cases(tuple(networks))


@st.composite
def _cases(draw: DrawFn, networks: tuple[Network, ...]) -> Case:
    net = draw(st.sampled_from(networks))
    kinds: list[SearchStrategy[tuple[int, ...] | None]] = [st.just((STEPS,) * BATCH), _ragged(STEPS, BATCH)]
    if net is networks[0]:
        kinds.append(st.none())
    return Case(net, STEPS, BATCH, draw(st.one_of(kinds)), draw(SEEDS), draw(SCALES), draw(PULLS), draw(PADDINGS))


@st.composite
def _ragged(draw: DrawFn, steps: int, batch: int) -> tuple[int, ...]:
    """Unequal lengths in any order; of two rows or more one is full, of three or more one has length 0."""
    lengths = [draw(st.integers(0, steps)) for _ in range(batch)]
    places = draw(st.permutations(range(batch)))
    for place, length in zip(places, (steps, 0), strict=False):
        if batch > 2 or length:
            lengths[place] = length
    return tuple(lengths)


def wild_cases(cell_list: Sequence[Cell], closed: bool = False) -> SearchStrategy[Case]:
    """All cases: time 0-64 and 200, batch 0-9, widths 1-33, every direction, one to three layers, any cell.

    Layers without a state stand among them, unless the list is `closed`: there are no other cells than these.
    """
    return _anything(tuple(cell_list), closed, 3, st.integers(0, 64), 200)


def drawn_cases(cell_list: Sequence[Cell], closed: bool = False) -> SearchStrategy[Case]:
    """Cases that are quick for the oracle: as wild cases, but with one or two layers, time 1-12 and 40."""
    return _anything(tuple(cell_list), closed, 2, st.integers(1, 12), 40)


@st.composite
def _anything(
    draw: DrawFn, cell_list: tuple[Cell, ...], closed: bool, depth: int, times: SearchStrategy[int], longest: int
) -> Case:
    layers = [draw(_layers(cell_list)) for _ in range(draw(st.integers(1, depth)))]
    output = draw(st.none() | st.integers(1, 12).map(Dense))
    read = draw(st.sampled_from((Steps(), Last())))
    net = Network(draw(st.integers(1, 33)), layers, read, output)
    net = net if closed else draw(_with_single_steps(net))
    net = replace(net, loss=draw(_losses(net.features, read)))
    steps = longest if draw(st.integers(0, 19)) == 19 else draw(times)
    batch = draw(st.integers(0, 9))
    lengths = draw(st.none() | _ragged(steps, batch))
    return Case(net, steps, batch, lengths, draw(SEEDS), draw(SCALES), draw(PULLS), draw(PADDINGS))


def _losses(features: int, read: Read) -> SearchStrategy[Loss]:
    """The losses that fit: a softmax needs two classes, or it is 1; CTC needs all steps, and a blank."""
    found: list[SearchStrategy[Loss]] = [st.just(SquaredError()), st.just(SigmoidCrossEntropy())]
    if features > 1:
        found.append(st.just(SoftmaxCrossEntropy()))
    if features > 1 and read == Steps():
        found.append(st.integers(0, features - 1).map(CTC))
    return st.one_of(found)


@st.composite
def _layers(draw: DrawFn, cell_list: tuple[Cell, ...]) -> Layer:
    cell = draw(st.sampled_from(cell_list))
    widths = [draw(st.integers(1, 33)) for _ in range(5)]
    gradient = draw(st.none() | st.integers(1, 9).map(Truncated))
    direction = draw(st.sampled_from(tuple(DIRECTIONS)))
    heads, shared = draw(_heads(cell))
    return Layer(cell, hidden_for(cell, widths), direction, gradient, heads=heads, shared=shared)


def drawn_cell_cases() -> SearchStrategy[Case]:
    """One or two layers of random cells, at sizes that are quick for the oracle."""
    return _of_drawn_cells()


def drawn_cell_programs() -> SearchStrategy[Case]:
    """One layer of a random cell at the default sizes, with lengths and a loss: one compiled program in all."""
    return drawn_cells().flatmap(lambda cell: cases([network_for(cell)]))


@st.composite
def affine_cell_cases(draw: DrawFn) -> Case:
    """One layer of a random cell that has a parallel form, in any direction, with heads or none, and with lengths."""
    cell, widths = draw(affine_cells()), draw(st.permutations((HIDDEN, 3, 2, 1)))
    heads, shared = draw(_heads(cell))
    layer = Layer(cell, hidden_for(cell, widths), draw(st.sampled_from(tuple(DIRECTIONS))), heads=heads, shared=shared)
    inputs = INPUTS * (heads or 1) if cell.reads_input else INPUTS
    return draw(_cases((Network(inputs, [layer]),)))


@st.composite
def _of_drawn_cells(draw: DrawFn) -> Case:
    layers = [draw(_drawn_layers()) for _ in range(1 + (draw(st.integers(0, 5)) == 5))]
    steps, batch = draw(st.integers(1, STEPS)), draw(st.sampled_from((BATCH, 1, 2, 3)))
    lengths = draw(st.none() | _ragged(steps, batch))
    net = draw(_with_single_steps(Network(INPUTS, layers)))
    return Case(net, steps, batch, lengths, draw(SEEDS), draw(SCALES), draw(PULLS), draw(PADDINGS))


@st.composite
def _with_single_steps(draw: DrawFn, net: Network) -> Network:
    """The network, sometimes with layers without a state below, between and above its own, with a head, and residual
    where widths are equal.
    """
    def some(few: int) -> list[Layer]:
        return [draw(_single_steps()) for _ in range(max(0, draw(st.integers(few, 2))))]

    if draw(st.integers(0, 3)) < 3:
        return net
    layers = [each for layer in net.layers for each in (*some(-2), layer)] + some(-1)
    whole = replace(net, layers=layers, head=[replace(layer, direction="forward") for layer in some(-1)])
    own = [replace(layer, residual=layer.width == wide and draw(st.booleans())) for _, layer, wide in whole.placed]
    return replace(whole, layers=own[: len(layers)], head=own[len(layers) :])


@st.composite
def _single_steps(draw: DrawFn) -> Layer:
    """A layer without a state: a published one, one with an activation, or a random one."""
    known = (cells.dense, activated(tanh), activated(relu), cells.layer_norm, cells.rms_norm)
    cell = draw(st.sampled_from(known) | drawn_single_steps())
    widths = draw(st.permutations((HIDDEN, INPUTS, HIDDEN, 1)))
    heads, shared = draw(_heads(cell)) if cell not in known else (None, ())
    return Layer(cell, hidden_for(cell, widths), draw(st.sampled_from(tuple(DIRECTIONS))), heads=heads, shared=shared)


@st.composite
def _heads(draw: DrawFn, cell: Cell) -> tuple[int | None, tuple[str, ...]]:
    """Heads, mostly none, and what they share: also `x` itself, whose features they might not divide."""
    heads = draw(st.sampled_from((None, None, None, 1, 2, 3)))
    shared = tuple(name for name in cell.sharable if heads and (name == "x" or draw(st.integers(0, 3)) == 3))
    return heads, shared


@st.composite
def _drawn_layers(draw: DrawFn) -> Layer:
    cell = draw(drawn_cells())
    widths = draw(st.permutations((HIDDEN, 3, HIDDEN, 1)))
    gradient = Truncated(2) if draw(st.integers(0, 5)) == 5 else None
    heads, shared = draw(_heads(cell))
    return Layer(cell, hidden_for(cell, widths), draw(st.sampled_from(tuple(DIRECTIONS))), gradient,
                 heads=heads, shared=shared)  # fmt: skip
