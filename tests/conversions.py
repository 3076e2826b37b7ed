"""What the tests of conversions share: drawn networks, and the verdict on what another side made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from disguise import disguised, renamed
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st

import rnnspec
from conformance import oracle, tolerance
from conformance.cases import Case, hidden_for
from conformance.tolerance import PROFILES
from rnnspec import Dense, Last, Layer, Network, Steps, cells
from rnnspec.convert.layout import layout_for
from rnnspec.derivation.correspondence import correspondence
from rnnspec.tree import tree_map

READS = (Steps(), Last())
OURS = {precision: rnnspec.get_backend("numpy", precision=precision) for precision in ("f32", "f64")}
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip
SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Sizes:
    """What is drawn: how many steps and rows, how short a row can be, and the widths of inputs and layers."""

    steps: tuple[int, ...] = (1, 2, 3, 5)
    batch: tuple[int, ...] = (1, 2, 3)
    shortest: int = 0
    inputs: tuple[int, ...] = (1, 2, 3)
    hidden: tuple[int, ...] = (2, 3, 4)
    full: bool = True
    """Whether rows may also be given without lengths."""
    ragged: bool = True
    """Whether rows may be given with lengths."""


def widths_of(cell, inputs, width):
    """A number of inputs and `hidden` that a cell can have; what a projection gives has a width of its own."""
    hidden = {"h": width, "c": width + 1} if cell == cells.lstm_projected else hidden_for(cell, (width,)) or width
    return width if cell.reads_input else inputs, hidden


def shapes_of(cell, inputs, hidden):
    """The shapes of a cell's maps by dotted name."""
    return {f"{kind}.{name}": shape for kind, maps in cell.parameter_shapes(inputs, hidden).items()
            for name, shape in maps.items()}  # fmt: skip


def stacks(row, table, directions, sizes):
    """Networks whose first layer has a row's cell and whose others have any of a table, some under other names."""
    return of_ones_own(networks((row.cell, *(other.cell for other in table)), directions, sizes))


@st.composite
def networks(draw, cells, directions, sizes):
    """A stack, its first layer the first of the cells, and perhaps an output layer; a projection is narrow."""
    layers = []
    for i in range(draw(st.integers(1, 2))):
        cell, width = draw(st.sampled_from(cells)) if i else cells[0], draw(st.sampled_from(sizes.hidden))
        hidden = hidden_for(cell, [width])
        if not isinstance(hidden, int):
            hidden = {name: width + 2 * (name != cell.output_state) for name in hidden}
        layers.append(Layer(cell, hidden, draw(st.sampled_from(directions))))
    head = draw(st.sampled_from((None, Dense(2))))
    return Network(draw(st.sampled_from(sizes.inputs)), layers, draw(st.sampled_from(READS)), head)


@st.composite
def cases(draw, nets, sizes):
    """A case over one of the networks, its rows ragged or not."""
    net, steps, batch = draw(nets), draw(st.sampled_from(sizes.steps)), draw(st.sampled_from(sizes.batch))
    ragged = st.tuples(*(st.integers(sizes.shortest, steps) for _ in range(batch)))
    lengths = draw(st.none() | ragged if sizes.full else ragged) if sizes.ragged else None
    return Case(net, steps, batch, lengths, draw(SEEDS))


@dataclass(frozen=True)
class Answer:
    """What another side computes, in our layout; None for what it does not have.

    `params` are the gradients of the named maps: one tree for every place in which a map can stand there, without the
    maps that it has no place for.
    """

    outputs: Any
    state: Any = None
    params: tuple[Any, ...] = ()
    inputs: Any = None
    first: Any = None


@dataclass(frozen=True)
class Question:
    """A network with numbers for everything that a call takes, and what NumPy's backend answers."""

    net: Network
    params: Any
    given: Any
    precision: str = "f64"

    @classmethod
    def of(cls, case, precision="f64", params=None):
        """The question of a case, with its own parameters or others."""
        given = case.arrays(precision)
        return cls(case.net, given.params if params is None else params, given, precision)

    def holds(self, answer):
        """Assert that the answer is ours within kappa."""
        g, ours = self.given, OURS[self.precision]
        call = (self.net, self.params, g.inputs, g.state, g.lengths)
        expected, reference = ours.run(*call), self._reference(oracle.run, call)
        self._agree(answer.outputs, expected.outputs, reference.at("outputs"))
        if answer.state is not None:
            self._agree(answer.state, expected.state, reference.at("state"))
        if answer.inputs is None:
            return
        call = (self.net, self.params, g.inputs, g.output_cotangent, g.state_cotangent, g.state, g.lengths)
        expected, reference = ours.pullback(*call), self._reference(oracle.pullback, call)
        self._agree(answer.inputs, expected.inputs, reference.at("inputs"))
        self._agree(answer.first, expected.state, reference.at("state"))
        for found in answer.params:
            self._agree(_completed(expected.params, found), expected.params, reference.at("params"))

    def _reference(self, function, call):
        return tolerance.reference(PROFILES[self.precision], lambda exact: function(*call, arithmetic=exact))

    def _agree(self, got, ours, reference):
        found = tolerance.agreement(got, ours, reference)
        if found.ill_posed:
            reject()
        assert found.passed, str(found)

    def from_zeros(self):
        """The same without an initial state."""
        return replace(self, given=replace(self.given, state=tree_map(np.zeros_like, self.given.state)))


def _completed(ours, found):
    """The gradients found, and ours for the maps that the other side has no place for."""
    if not isinstance(found, dict | list):
        return found
    keys = ours if isinstance(ours, dict) else range(len(ours))
    full = {key: _completed(ours[key], found[key]) if key in keys and _has(found, key) else ours[key] for key in keys}
    return full if isinstance(ours, dict) else list(full.values())


def _has(found, key):
    return key in found if isinstance(found, dict) else key < len(found)


def map_gradients(layout, tensors):
    """The gradients of one half's maps from those of its tensors: at the first place of each map, and at the last."""
    found = ({kind: {} for kind in "WbUp"}, {kind: {} for kind in "WbUp"})
    for tensor, names in layout.places():
        if tensor in tensors:
            stored = tensors[tensor].T if layout.transposed and tensors[tensor].ndim == 2 else tensors[tensor]
            for name, block in zip(names, np.split(stored, len(names)), strict=True):
                kind, _, gate = name.partition(".")
                if not gate:
                    continue
                found[0][kind].setdefault(gate, block)
                found[1][kind][gate] = block
    return found


def network_gradients(rows, tensors, head):
    """The gradients of a network's maps, of every place: `tensors[i][half]` are those of its layers' tensors."""
    layers = [{half: map_gradients(row, own) for half, own in halves.items()}
              for row, halves in zip(rows, tensors, strict=True)]  # fmt: skip
    output = {} if head is None else {"output": head}
    return tuple({"layers": [{half: both[i] for half, both in halves.items()} for halves in layers]} | output
                 for i in (0, 1))  # fmt: skip


def held(table, case, precision="f64"):
    """The parameters of a case, with zeros where a side has no place for them."""
    params = case.arrays(precision).params
    for layer, halves in zip(case.net.layers, params["layers"], strict=True):
        for name in layout_for(table, layer.cell).absent:
            for own in halves.values():
                own[name[0]][name[2:]][:] = 0.0
    return params


@st.composite
def of_ones_own(draw, nets):
    """A network in which some cells stand under other names."""
    net = draw(nets)
    return under_other_names(net, draw(SEEDS)) if draw(st.booleans()) else net


def under_other_names(net, seed):
    """The network with its cells under misleading names, which its states and parameters have then too."""
    return replace(net, layers=[_disguised(layer, seed + i) for i, layer in enumerate(net.layers)])


def _disguised(layer, seed):
    cell, names = disguised(layer.cell, seed)
    if isinstance(layer.hidden, int):
        return replace(layer, cell=cell)
    return replace(layer, cell=cell, hidden={names["state", name]: width for name, width in layer.hidden})


def same_network(found, net, params):
    """What was read is the network and its numbers, to the bit; cells under other names are read as the tables' own."""
    named = [correspondence(layer.cell, own.cell) for layer, own in zip(found.net.layers, net.layers, strict=True)]
    layers = [replace(own, cell=layer.cell, hidden=_renamed_widths(own, names))
              for layer, own, names in zip(found.net.layers, net.layers, named, strict=True)]  # fmt: skip
    assert found.net == replace(net, layers=layers)
    back = [{half: renamed(maps, names) for half, maps in halves.items()}
            for halves, names in zip(found.params["layers"], named, strict=True)]  # fmt: skip
    same_params(found.params | {"layers": back}, params)


def _renamed_widths(layer, names):
    if isinstance(layer.hidden, int):
        return layer.hidden
    widths = dict(layer.hidden)
    states = {mine: widths[theirs] for (op, mine), theirs in names.items() if op == "state" and theirs in widths}
    return states | {f"R.{mine}": widths[f"R.{theirs}"] for (op, mine), theirs in names.items()
                     if op == "map" and f"R.{theirs}" in widths}  # fmt: skip


def same_params(one, other):
    """The same names, and the same numbers to the bit."""
    a, b = dict(rnnspec.tree.leaves(one)), dict(rnnspec.tree.leaves(other))
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype and array.tobytes() == b[name].tobytes(), name


def refuses(call, kind, evidence):
    """The call raises the error, and shows what it got."""
    with pytest.raises(kind) as caught:
        call()
    assert evidence in caught.value.got + caught.value.must, str(caught.value)


def noted(notes):
    """The notes of a conversion, without their places."""
    return {note.what for note in notes}
