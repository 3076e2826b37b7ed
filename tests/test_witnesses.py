"""Every published cell beside a witness: an implementation that shares nothing with rnnspec but the paper.

For most cells the witness is torchrecurrent or torch.nn, called with our parameters where the tables of conversion put
them; for the others it is the paper's recurrence, written again in plain torch (tests/papers.py,
tests/papers_today.py). Torch differentiates the witness by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
import torchrecurrent

import rnnspec
from conformance.cases import hidden_for
from rnnspec import Cell, Layer, Network, cells
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.convert.layouts import TORCH, TORCHRECURRENT
from rnnspec.convert.torchrecurrent_layouts import row
from rnnspec.convert.torchrecurrent_network import HardSigmoid
from rnnspec.tree import leaves as named_leaves
from tests import papers, papers_today

STEPS, ROWS, INPUTS, HIDDEN = 7, 3, 5, 4
VALUES, GRADIENTS = 1e-14, 1e-13
"""How far values and gradients may be apart, over the largest of each array or 1."""
COMPILED = 6
"""Cells above one another, in one program, where each network is compiled."""
PARTS = {"0": torch.zeros, "1": torch.ones, "I": torch.eye}
"""What a tensor holds where our cell has no map."""
FUNCTIONS = {"HardSigmoid": HardSigmoid()}


@dataclass(frozen=True)
class Library:
    """A cell of a library: its class, and the tensors that hold our maps and constants.

    A map that stands in several places is split into equal parts: so a second bias is no zeros.
    """

    kind: type[torch.nn.Module]
    layout: Layout

    def step(self, leaves: dict[str, torch.Tensor], x: torch.Tensor, *states: torch.Tensor) -> tuple[Any, Any]:
        """The output and the new states of one step, by the library's own forward."""
        options = {name: FUNCTIONS.get(value, value) for name, value in self.layout.options.items()}
        biases = {name: True for name in signature(self.kind).parameters if name.endswith("bias")}
        module = self.kind(x.shape[1], states[0].shape[1], dtype=torch.float64, **biases | options)
        names = {name for name, _ in module.named_parameters()}
        every = [label for _, labels in self.layout.places() for label in labels]
        known = {label: value / max(1, every.count(label)) for label, value in leaves.items()}
        known |= {label: make(states[0].shape[1], dtype=torch.float64) for label, make in PARTS.items()}
        given = {name: torch.cat([known[label] for label in labels]) for name, labels in self.layout.places()}
        given |= {name: torch.tensor(self.layout.cell.constants[constant], dtype=torch.float64)
                  for name, constant in self.layout.constants.items() if name in names}  # fmt: skip
        assert set(given) == names
        found = torch.func.functional_call(module, given, (x, states if len(states) > 1 else states[0]))
        if isinstance(found, torch.Tensor):
            return found, (found,)
        if len(states) == 1 and not isinstance(found[1], tuple):
            return found[0], found[1:]
        return found if isinstance(found[1], tuple) else (found[0], found)


class OneState(torchrecurrent.JANETCell):
    """The JANET, whose two states in the library are one."""

    def forward(self, x, h):
        return super().forward(x, (h, h))[0]


class Delayed(torchrecurrent.tauGRUCell):
    """The tau-GRU with the state of the step before among its states; its layer keeps that in a queue."""

    def forward(self, x, states):
        new = super().forward(x, *states)
        return new, (new, states[0])


def theirs(cell: Cell, kind: type[torch.nn.Module] | None = None) -> Callable[..., Any]:
    """A cell of torchrecurrent, as the converter lays it out."""
    found = next(found for found in TORCHRECURRENT if found.cell == cell)
    return Library(kind or getattr(torchrecurrent, f"{found.kind}Cell"), found.of(cell)).step


def framework(cell: Cell) -> Callable[..., Any]:
    """A cell of torch.nn, as the converter lays it out."""
    found = layout_for(TORCH, cell)
    return Library(getattr(torch.nn, f"{found.kind}Cell"), found).step


TAUGRU = row("tauGRU", cells.taugru, "u z g a", weight_hh="U.u U.z U.g U.a", bias_hh="b.u b.z b.g b.a")
WITNESSES: dict[str, Callable[..., Any]] = {
    "elman": framework(cells.elman),
    "elman_relu": framework(cells.elman_relu),
    "fastrnn": theirs(cells.fastrnn),
    "multiplicative_rnn": papers.multiplicative_rnn,
    "mi_rnn": papers.mi_rnn,
    "lstm_original": theirs(cells.lstm_original),
    "lstm": framework(cells.lstm),
    "lstm_peephole": theirs(cells.lstm_peephole),
    "lstm_projected": papers.lstm_projected,
    "lstm_coupled": papers.lstm_coupled,
    "mclstm": theirs(cells.mclstm),
    "wmclstm": theirs(cells.wmclstm),
    "lstm_residual": theirs(cells.lstm_residual),
    "lstm_layer_norm": papers.lstm_layer_norm,
    "multiplicative_lstm": theirs(cells.multiplicative_lstm),
    "mogrifier_lstm": papers.mogrifier_lstm,
    "fast_slow": papers.fast_slow,
    "gru": framework(cells.gru),
    "gru_reset_before": papers.gru_reset_before,
    "mgu": theirs(cells.mgu),
    "ugrnn": theirs(cells.ugrnn),
    "ligru": theirs(cells.ligru),
    "minimal_rnn": theirs(cells.minimal_rnn),
    "lightru": theirs(cells.lightru),
    "star": theirs(cells.star),
    "sgrn": theirs(cells.sgrn),
    "sgu": theirs(cells.sgu),
    "dsgu": theirs(cells.dsgu),
    "fastgrnn": theirs(cells.fastgrnn),
    "janet": theirs(cells.janet, OneState),
    "miru1": theirs(cells.miru1),
    "miru2": theirs(cells.miru2),
    "indrnn": theirs(cells.indrnn),
    "brc": theirs(cells.brc),
    "nbrc": theirs(cells.nbrc),
    "paragru": papers.paragru,
    "paralstm": papers.paralstm,
    "sru": papers.sru,
    "mut1": theirs(cells.mut1),
    "mut2": theirs(cells.mut2),
    "mut3": theirs(cells.mut3),
    "nas": theirs(cells.nas),
    "slstm": papers_today.in_blocks(papers.slstm),
    "mlstm": papers_today.mlstm,
    "mingru": papers.mingru,
    "mingru_log": papers.mingru_log,
    "minlstm": papers.minlstm,
    "hgrn": papers.hgrn,
    "trnn": theirs(cells.trnn),
    "tgru": theirs(cells.tgru),
    "tlstm": theirs(cells.tlstm),
    "qrnn": papers.qrnn,
    "atr": theirs(cells.atr),
    "cfn": theirs(cells.cfn),
    "recurrent_additive_network": theirs(cells.recurrent_additive_network),
    "rhn": papers.rhn,
    "intersection_rnn": theirs(cells.intersection_rnn),
    "lem": papers.lem,
    "scrn": papers.scrn,
    "taugru": Library(Delayed, TAUGRU).step,
    "cornn": theirs(cells.cornn),
    "unicornn": theirs(cells.unicornn),
    "antisymmetric_rnn": theirs(cells.antisymmetric_rnn),
    "antisymmetric_rnn_gated": theirs(cells.antisymmetric_rnn_gated),
    "lipschitz_rnn": papers.lipschitz_rnn,
    "rglru": papers_today.rglru,
    "lru": papers_today.lru,
    "s5": papers_today.s5,
    "s4d": papers_today.s4d,
    "mamba": papers_today.mamba,
    "mamba2": papers_today.mamba2,
    "retnet": papers_today.retnet,
    "gla": papers_today.gla,
    "hgrn2": papers_today.hgrn2,
    "rwkv6": papers_today.rwkv6,
    "deltanet": papers_today.deltanet,
    "gated_deltanet": papers_today.gated_deltanet,
    "kda": papers_today.kda,
    "gdn2": papers_today.gdn2,
    "deltaproduct": papers_today.deltaproduct,
    "rwkv7": papers_today.rwkv7,
    "dense": papers.dense,
    "layer_norm": papers.layer_normed,
    "rms_norm": papers.rms_normed,
}  # fmt: skip
"""The witness of each cell: a step in torch."""

SHARED = dict.fromkeys(("slstm", "mlstm", "rglru", "lru", "s5", "s4d", "mamba", "mamba2", "retnet", "gla", "hgrn2",
                        "rwkv6", "deltanet", "gated_deltanet", "kda", "gdn2", "deltaproduct", "rwkv7"), ())  # fmt: skip
SHARED |= {
    "mamba2": ("x.B", "x.C"),
    "gla": ("x.k", "x.a"),
    "kda": ("x.q", "x.k"),
    "rwkv7": ("x", "p.mix_r", "p.mix_k", "p.mix_v", "p.mix_w", "p.mix_a"),
}
"""The cells that are witnessed with two heads too, each with what its heads share."""


@dataclass(frozen=True)
class Drawn:
    """A network of some cells above one another, with all numbers of a call."""

    net: Network
    params: Any
    inputs: Any
    state: Any
    outputs_back: Any
    states_back: Any


POSITIVE = {"n"}
"""States that are above 0 in every step of the paper: a normaliser adds up gates."""
SQUARE = ("multiplicative_lstm", "intersection_rnn")
"""Cells of several widths, which in their witness are all that of the input."""


def layers_of(chosen: tuple[Cell, ...], inputs: int, heads: int | None) -> list[Layer]:
    """Layers above one another, of different widths where the witness of a cell allows it."""
    layers, wide = list[Layer](), inputs
    for cell in chosen:
        widths = (wide,) if cell.name in SQUARE else (HIDDEN, 3)
        layers.append(Layer(cell, hidden_for(cell, widths), **of_heads(cell, heads)))
        wide = Network(inputs, layers).features
    return layers


def of_heads(cell: Cell, heads: int | None) -> dict[str, Any]:
    """The heads of a layer of a cell, where it has any."""
    return {"heads": heads, "shared": SHARED[cell.name]} if heads and cell.name in SHARED else {}


def drawn(chosen: tuple[Cell, ...], heads: int | None = None) -> Drawn:
    rng = np.random.default_rng([0, len(chosen)])
    inputs = INPUTS if heads is None else 3 * heads
    net = Network(inputs, layers_of(chosen, inputs, heads))

    def maps(shapes):
        return {name: maps(shape) if isinstance(shape, dict) else rng.normal(size=shape) / np.sqrt(shape[-1])
                for name, shape in shapes.items()}  # fmt: skip

    def states():
        found = [{"forward": {name: rng.normal(size=(ROWS, *shape)) for name, shape in layer.state_shapes.items()}}
                 for layer in net.layers]  # fmt: skip
        for names in (layer["forward"] for layer in found):
            names |= {name: abs(names[name]) for name in POSITIVE & names.keys()}
        return found

    params = {"layers": [maps(layer) for layer in net.parameter_shapes()["layers"]]}
    return Drawn(net, params, rng.normal(size=(STEPS, ROWS, inputs)), states(),
                 rng.normal(size=(STEPS, ROWS, net.features)), states())  # fmt: skip


@cache
def witnessed(chosen: tuple[Cell, ...], heads: int | None) -> tuple[Drawn, dict[str, Any], dict[str, Any]]:
    """The numbers of a call, and the values and gradients of the cells' witnesses, by name."""
    given = drawn(chosen, heads)
    leaf = {name: torch.tensor(a, requires_grad=True) for name, a in named_leaves(
        {"params": given.params, "inputs": given.inputs, "state": given.state})}  # fmt: skip
    sequence, final = leaf["inputs"], {}
    for i, cell in enumerate(chosen):
        at = f"params.layers.{i}.forward."
        own = {name.removeprefix(at): value for name, value in leaf.items() if name.startswith(at)}
        states, outputs = tuple(leaf[f"state.{i}.forward.{name}"] for name in cell.states), []
        for x in sequence:
            output, states = WITNESSES[cell.name](own, x, *states, **of_heads(cell, heads))
            outputs.append(output)
        sequence = torch.stack(outputs)
        final |= {f"state.{i}.forward.{name}": s for name, s in zip(cell.states, states, strict=True)}
    backs = dict(named_leaves({"state": given.states_back}))
    ends = sum((final[name] * torch.tensor(back)).sum() for name, back in backs.items())
    ((sequence * torch.tensor(given.outputs_back)).sum() + ends).backward()
    values = {"outputs": sequence, **final}
    return (given, {name: value.detach().numpy() for name, value in values.items()},
            {name: value.grad.numpy() for name, value in leaf.items()})  # fmt: skip


def assert_agrees(be: rnnspec.Backend, chosen: tuple[Cell, ...], heads: int | None = None) -> None:
    """Values and gradients of the network of these cells, on a backend in float64."""
    given, values, gradients = witnessed(chosen, heads)
    ran = be.run(given.net, given.params, given.inputs, given.state)
    pulled = be.pullback(given.net, given.params, given.inputs, given.outputs_back, given.states_back, given.state)
    for found, expected, apart in (
        (dict(named_leaves(be.to_numpy({"outputs": ran.outputs, "state": ran.state}))), values, VALUES),
        (dict(named_leaves(be.to_numpy(vars(pulled)))), gradients, GRADIENTS),
    ):
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            assert np.abs(found[name] - array).max() <= apart * max(1.0, np.abs(array).max()), name


PUBLISHED = {value.name: value for value in vars(cells).values() if isinstance(value, Cell)}


def stacked(names: Iterable[str]) -> list[tuple[Cell, ...]]:
    """The cells in stacks; one of today is followed by one with tanh, since its outputs have no bound."""
    left = [(PUBLISHED[name], cells.elman) if name in SHARED else (PUBLISHED[name],) for name in names]
    return [sum(left[low : low + COMPILED], ()) for low in range(0, len(left), COMPILED)]


STACKS = [(stack, None) for stack in stacked(PUBLISHED)] + [(stack, 2) for stack in stacked(SHARED)]
"""Stacks of cells, without heads and with two."""


def test_every_cell_has_a_witness():
    assert WITNESSES.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_cell_computes_what_its_witness_does(backend, name, open_backend):
    assert_agrees(open_backend(backend, "f64"), (PUBLISHED[name],))


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_two_heads_of_a_cell_compute_what_their_witness_does(backend, name, open_backend):
    assert_agrees(open_backend(backend, "f64"), (PUBLISHED[name],), heads=2)


COMPILING = zip(cycle(["jax", "tensorflow"]), STACKS)
"""Each stack on one of the backends that compile: both run the lowering that NumPy runs, by operations of their own."""


@pytest.mark.parametrize(("backend", "stack", "heads"), [(backend, *stack) for backend, stack in COMPILING],
                         ids=lambda part: part[0].name if isinstance(part, tuple) else part)  # fmt: skip
def test_cells_above_one_another_compute_what_their_witnesses_do(backend, stack, heads, open_backend):
    assert_agrees(open_backend(backend, "f64"), stack, heads)


@pytest.mark.parametrize("part", ["lstm.U.f", "mgu.U.n", "brc.p.a", "slstm.W.f", "gla.W.k", "s4d.p.re",
                                  "rwkv7.p.removal"])  # fmt: skip
def test_a_witness_with_two_maps_exchanged_disagrees(part, monkeypatch, open_backend):
    """What the comparison is worth: two maps of one shape change their places."""
    name, kind, own = part.split(".")
    other = {"lstm": "i", "mgu": "f", "brc": "c", "slstm": "i", "gla": "q", "s4d": "C_re", "rwkv7": "replace"}[name]
    step, turned = WITNESSES[name], {f"{kind}.{own}": f"{kind}.{other}", f"{kind}.{other}": f"{kind}.{own}"}
    monkeypatch.setitem(WITNESSES, name, lambda leaves, x, *states: step(
        {label: leaves[turned.get(label, label)] for label in leaves}, x, *states))  # fmt: skip
    witnessed.cache_clear()
    with pytest.raises(AssertionError):
        assert_agrees(open_backend("numpy", "f64"), (PUBLISHED[name],))
    witnessed.cache_clear()


def test_the_stabiliser_of_the_slstm_changes_no_number(open_backend):
    """From a state of zeros the output and its gradients are those of the recurrence without m."""
    given, be = drawn((cells.slstm,)), open_backend("numpy", "f64")
    params = {name: torch.tensor(a, requires_grad=True) for name, a in named_leaves(given.params)}
    own = {name.removeprefix("layers.0.forward."): leaf for name, leaf in params.items()}
    states, outputs = (torch.zeros(ROWS, HIDDEN, dtype=torch.float64),) * 3, []
    for x in torch.tensor(given.inputs):
        output, states = papers.slstm_unstabilised(own, x, *states)
        outputs.append(output)
    (torch.stack(outputs) * torch.tensor(given.outputs_back)).sum().backward()
    found = be.run(given.net, given.params, given.inputs).outputs
    np.testing.assert_allclose(found, torch.stack(outputs).detach().numpy(), rtol=1e-12, atol=1e-13)
    pulled = dict(named_leaves(be.pullback(given.net, given.params, given.inputs, given.outputs_back).params))
    for name, leaf in params.items():
        np.testing.assert_allclose(pulled[name], leaf.grad.numpy(), rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_first_step_of_the_slstm_depends_on_no_other_row(backend, open_backend):
    """An input gate of e^-120 in a row that begins, beside a row that has begun: the authors' code gives NaN there."""
    be, net = open_backend(backend, "f32"), Network(1, [Layer(cells.slstm, 1)])
    maps = {"W": {name: np.ones((1, 1)) for name in "ifzo"}, "b": {"i": np.full(1, -120.0)},
            "U": {name: np.ones((1, 1)) for name in "ifzo"}, "p": {}}  # fmt: skip
    maps["b"] |= {name: np.zeros(1) for name in "fzo"}
    params = {"layers": [{"forward": maps}]}
    begun = {"h": 0.5, "c": 1.0, "n": 2.0, "m": 0.0}
    both = [{"forward": {name: np.array([[0.0], [value]]) for name, value in begun.items()}}]
    alone = [{"forward": {name: np.zeros((1, 1)) for name in begun}}]
    x = np.full((3, 2, 1), 0.1)
    given = [be.to_numpy(be.run(net, params, x[:, :rows], state).outputs) for rows, state in ((2, both), (1, alone))]
    pulled = be.to_numpy(vars(be.pullback(net, params, x, np.ones((3, 2, 1)), None, both)))
    assert np.array_equal(given[0][:, :1], given[1])
    assert all(np.isfinite(a).all() for _, a in named_leaves([given[0], pulled]))
