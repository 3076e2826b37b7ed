"""Which layers without maps the laws of operands are tested on, and how many steps they have."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import BATCH, INPUTS, STEPS, Case, Pull, cases, hidden_for
from conformance.properties.equations.heads import mixed
from conformance.properties.networks import Labels
from conformance.properties.sequences.remembering import longest
from conformance.registry import Scope
from rnnspec import Cell, Layer, Network, cells

__all__ = ["mapped", "network_of", "operands", "short"]

AROUND = (0, 1, 2, 3, 5, 7, 9, 17, 33)
"""Steps below, at and above short chunks."""
AROUND_CHUNKS = (1, 15, 16, 17, 33, 64, 65, 100, 127, 129, 130, 150)
"""Steps below, at and above the chunks of kernels, for what has one cell only."""
SHARE = 0.1
"""Of the steps of most rows that are resets."""
EVERYTHING = Layer(mixed, {"h": 4, "S.columns": 2}, heads=2, shared=("R.k", "p.A", "x.h"), inputs=2 * INPUTS,
                   mapped=False)  # fmt: skip
"""Every kind of array, of each head and shared."""
BESIDE = {
    "every operand": EVERYTHING,
    "a shared key": Layer(cells.gla, {"S.rows": 3, "S.columns": 4}, heads=2, shared=("x.k",), mapped=False),
    "three heads": Layer(cells.mamba2, {"S.rows": 3, "S.columns": 2}, heads=3, shared=("x.B", "x.C"), mapped=False),
    "a shared x": Layer(mixed, {"h": 4, "S.columns": 2}, heads=2, shared=("x",), inputs=INPUTS, mapped=False),
    "x without heads": Layer(cells.mamba, {"S.columns": 2}, inputs=4, mapped=False),
}
"""By label, beside the cells of a scope."""


def network_of(layer: Layer) -> Network:
    """A layer without maps as a network."""
    return Network(sum(width for _, width in layer.cell.given or ()), [layer])


def operands(scope: Scope) -> Labels:
    """Layers of any number of steps; where programs cost, of one, and elsewhere with maps whose products remember."""
    around = AROUND_CHUNKS if scope.closed else AROUND if scope.eager else (STEPS,)
    found = {label: cases([net]).map(lambda case: _sized(case, around)) for label, net in _networks(scope).items()}
    return {**found, **longest(scope)}


def short(scope: Scope) -> Labels:
    """The same layers, of few steps, which every backend runs one by one."""
    return {label: cases([net]).map(_with_lengths) for label, net in _networks(scope).items()}


def mapped(scope: Scope) -> Labels:
    """The layers with maps, where networks cost no program."""
    if scope.shapes or not (scope.eager or scope.wide):
        return {}
    layers = {cell.label: Layer(cell, hidden_for(cell)) for cell in scope.cells}
    for label, layer in () if scope.closed else BESIDE.items():
        layers[label] = replace(layer, inputs=None, mapped=True)
    return {label: cases([Network(2 * INPUTS, [layer])]).map(_with_lengths) for label, layer in layers.items()}


def _networks(scope: Scope) -> dict[str, Network]:
    """Every cell of the scope, and layers with heads; where programs cost, the one with every kind of array."""
    if scope.shapes and not scope.closed:
        return {}
    if not scope.eager and not scope.closed:
        affordable = scope.wide or not (scope.brief or scope.share[0])
        return {"every operand": network_of(EVERYTHING)} if affordable else {}
    reading = [cell for cell in scope.cells if cell.reads_input or cell.graph.names("input")]
    layers = {cell.label: _layer(cell) for cell in reading} | ({} if scope.closed else BESIDE)
    return {label: network_of(layer) for label, layer in layers.items()}


def _layer(cell: Cell) -> Layer:
    parts = cell.beside("x") if cell.reads_input else 1
    inputs = INPUTS * parts if cell.reads_input else None
    return Layer(cell, hidden_for(cell), inputs=inputs, mapped=False)


def _sized(case: Case, around: tuple[int, ...]) -> Case:
    """Any number of steps, mostly with ragged lengths and resets, and cotangents of everything."""
    steps = around[case.seed % len(around)]
    ends = tuple(-(-steps * n // STEPS) for n in case.lengths or (STEPS, 3, 0, 5, 6))
    lengths = None if case.seed % 3 == 0 and len(around) > 1 else ends
    return replace(case, steps=steps, lengths=lengths, pull=Pull.BOTH,
                   resets=None if case.seed % 2 and len(around) > 1 else SHARE)  # fmt: skip


def _with_lengths(case: Case) -> Case:
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH, pull=Pull.BOTH, resets=SHARE)
