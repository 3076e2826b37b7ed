"""What the tests of conversions share: drawn networks, and the verdict on what another side made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from disguise import disguised, renamed
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st

import rnnspec
from conformance import oracle, tolerance
from conformance.cases import Case, hidden_for
from conformance.tolerance import PROFILES
from rnnspec import Dense, Last, Layer, Network, Steps
from rnnspec.correspondence import correspondence

READS = (Steps(), Last())
OURS = {precision: rnnspec.get_backend("numpy", precision=precision) for precision in ("f32", "f64")}
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip


@st.composite
def drawn(draw, rows, directions=("forward", "bidirectional"), shortest=0, reads=READS):
    """A case over a stack of one or two layers, of the cells of these rows of a table, or of such under other names."""
    layers = []
    for _ in range(draw(st.integers(1, 2))):
        cell, widths = draw(st.sampled_from(rows)).cell, draw(st.permutations((2, 3, 4)))
        cell = disguised(cell, draw(st.integers(0, 2**32 - 1)))[0] if draw(st.booleans()) else cell
        hidden = hidden_for(cell, widths)
        if not isinstance(hidden, int):  # a projection is onto fewer features
            output = cell.output_state
            hidden = {name: 4 - 2 * (name == output) for name in hidden}
        layers.append(Layer(cell, hidden, draw(st.sampled_from(directions))))
    head = draw(st.sampled_from((None, Dense(2))))
    net = Network(draw(st.integers(1, 3)), layers, draw(st.sampled_from(reads)), head)
    steps, batch = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    lengths = draw(st.none() | st.tuples(*(st.integers(shortest, steps) for _ in range(batch))))
    return Case(net, steps, batch, lengths, draw(st.integers(0, 2**32 - 1)))


@dataclass(frozen=True)
class Question:
    """A network with numbers for everything that a call takes, and what NumPy's backend answers."""

    net: Network
    params: Any
    given: Any
    precision: str = "f64"

    @classmethod
    def of(cls, case, precision="f64"):
        given = case.arrays(precision)
        return cls(case.net, given.params, given, precision)

    @classmethod
    def about(cls, imported, steps, batch, lengths, seed=0, precision="f64"):
        """One about a network that was read from elsewhere."""
        given = Case(imported.net, steps, batch, lengths, seed).arrays(precision)
        return cls(imported.net, imported.params, given, precision)

    def agree(self, outputs, state=None):
        """The other side's outputs, and its final state unless None, are ours within kappa."""
        g, ours = self.given, self.run()
        reference = self._reference(lambda exact: oracle.run(
            self.net, self.params, g.inputs, g.state, g.lengths, arithmetic=exact))  # fmt: skip
        if state is None:
            self._pronounce(outputs, ours.outputs, reference.at("outputs"))
        else:
            self._pronounce(rnnspec.Result(outputs, state, ()), ours, reference)

    def agree_gradients(self, params, inputs, state):
        """The other side's gradients are ours within kappa; without those of the state if None."""
        g = self.given
        given = (self.net, self.params, g.inputs, g.output_cotangent, g.state_cotangent, g.state, g.lengths)
        ours = self.pullback()
        reference = self._reference(lambda exact: oracle.pullback(*given, arithmetic=exact))
        for name, got in {"params": params, "inputs": inputs, "state": state}.items():
            if got is not None:
                self._pronounce(got, getattr(ours, name), reference.at(name))

    def run(self):
        """The answer of NumPy's backend."""
        g = self.given
        return OURS[self.precision].run(self.net, self.params, g.inputs, g.state, g.lengths)

    def pullback(self):
        """The gradients of NumPy's backend."""
        g = self.given
        return OURS[self.precision].pullback(self.net, self.params, g.inputs, g.output_cotangent, g.state_cotangent,
                                             g.state, g.lengths)  # fmt: skip

    def _reference(self, compute):
        return tolerance.reference(PROFILES[self.precision], compute)

    def _pronounce(self, got, ours, reference):
        found = tolerance.agreement(got, ours, reference)
        if found.ill_posed:
            reject()
        assert found.passed, str(found)

    def without_state(self):
        """The same from zeros."""
        zeros = [{half: {s: np.zeros_like(a) for s, a in own.items()} for half, own in halves.items()}
                 for halves in self.given.state]  # fmt: skip
        return replace(self, given=replace(self.given, state=zeros))

    def without_state_cotangent(self):
        """The same without a cotangent of the final state."""
        zeros = [{half: {s: np.zeros_like(a) for s, a in own.items()} for half, own in halves.items()}
                 for halves in self.given.state_cotangent]  # fmt: skip
        return replace(self, given=replace(self.given, state_cotangent=zeros))


def map_gradients(layout, tensors, last):
    """The gradients of one half's maps, read from the first or the last place of each, and zeros for the others."""
    found = {kind: {} for kind in ("W", "b", "U", "p")}
    for tensor, names in layout.places():
        stored = tensors[tensor].T if layout.transposed and tensors[tensor].ndim == 2 else tensors[tensor]
        for name, block in zip(names, np.split(stored, len(names)), strict=True):
            kind, gate = name.split(".")
            if last or gate not in found[kind]:
                found[kind][gate] = block
    return found


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
    return {mine: layer.state_widths[theirs] for (op, mine), theirs in names.items() if op == "state"}


def same_params(one, other):
    """The same names, and the same numbers to the bit."""
    a, b = dict(rnnspec.tree.leaves(one)), dict(rnnspec.tree.leaves(other))
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype and array.tobytes() == b[name].tobytes(), name


def told(losses):
    """What was lost, without where."""
    return {lost.what for lost in losses}
