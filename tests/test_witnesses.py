"""Every published cell beside a witness: an implementation that shares nothing with rnnspec but the paper.

For most cells the witness is torchrecurrent or torch.nn, called with our parameters; for the others it is the paper's
recurrence, written again in plain torch (tests/papers.py, tests/papers_today.py). Torch differentiates the witness by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchrecurrent

import rnnspec
from conformance.cases import hidden_for
from rnnspec import Cell, Layer, Network, cells
from rnnspec.tree import leaves as named_leaves
from tests import papers, papers_today

STEPS, ROWS, INPUTS, HIDDEN = 7, 3, 5, 4
VALUES, GRADIENTS = 1e-14, 1e-13
"""How far values and gradients may be apart, over the largest of each array or 1."""
COMPILED = 6
"""Cells above one another, in one program, where each network is compiled."""


@dataclass(frozen=True)
class Library:
    """A cell of a library: its class, our maps in each of its tensors, and what it is made with.

    `ih` names the maps of the input in the order in which `weight_ih` and `bias_ih` stack them. Where `tensors` names
    these two, its parts are meant. A part that our cell does not have is 0, a vector of zeros, 1, one of ones, or I,
    the identity.
    """

    kind: type[torch.nn.Module]
    ih: str
    tensors: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)

    def step(self, leaves: dict[str, torch.Tensor], x: torch.Tensor, *states: torch.Tensor) -> tuple[Any, Any]:
        """The output and the new states of one step, by the library's own forward."""
        module = self.kind(x.shape[1], states[0].shape[1], dtype=torch.float64, **self.options)
        names = [f"{kind}.{name}" for kind in "Wb" for name in self.ih.split()]
        half = len(names) // 2
        stacked = {"weight_ih": names[:half], "bias_ih": names[half:]}
        stacked |= {tensor: text.split() for tensor, text in self.tensors.items()}
        known = leaves | {label: make(states[0].shape[1], dtype=torch.float64) for label, make in FIXED.items()}
        given = {name: torch.cat([known[label] for label in labels]) for name, labels in stacked.items() if labels}
        assert set(given) == {name for name, _ in module.named_parameters()}
        found = torch.func.functional_call(module, given, (x, states if len(states) > 1 else states[0]))
        if isinstance(found, torch.Tensor):
            return found, (found,)
        if len(states) == 1 and not isinstance(found[1], tuple):
            return found[0], found[1:]
        return found if isinstance(found[1], tuple) else (found[0], found)


FIXED = {"0": torch.zeros, "1": torch.ones, "I": torch.eye}


class OneState(torchrecurrent.JANETCell):
    """The JANET, whose two states in the library are one."""

    def forward(self, x, h):
        return super().forward(x, (h, h))[0]


class Delayed(torchrecurrent.tauGRUCell):
    """The tau-GRU with the state of the step before among its states; its layer keeps that in a queue."""

    def forward(self, x, states):
        new = super().forward(x, *states)
        return new, (new, states[0])


class HardSigmoid(torch.nn.Module):
    """That of Theano: its slope is 0.2. Torch's has 1/6, which its backward rounds to float32."""

    def forward(self, a):
        return torch.clamp(0.2 * a + 0.5, 0, 1)


def theirs(kind: str, ih: str, options: dict[str, Any] | None = None, **tensors: str) -> Callable[..., Any]:
    """A cell of torchrecurrent, without its second bias where our cell has one."""
    given = {"recurrent_bias": "bias_hh" in tensors} | (options or {})
    return Library(getattr(torchrecurrent, kind), ih, tensors, given).step


def framework(kind: str, ih: str, options: dict[str, Any] | None = None, **tensors: str) -> Callable[..., Any]:
    """A cell of torch.nn."""
    return Library(getattr(torch.nn, kind), ih, tensors, options or {}).step


HARD = {"gate_nonlinearity": HardSigmoid()}
ANTISYMMETRIC = {"epsilon": 0.1, "gamma": 0.1}
FASTGRNN = {"weight_ih": "U.w", "bias_ih": "p.z p.n", "weight_hh": "U.u", "zeta": "p.zeta", "nu": "p.nu"}
WITNESSES: dict[str, Callable[..., Any]] = {
    "elman": framework("RNNCell", "h", weight_hh="U.h", bias_hh="0"),
    "elman_relu": framework("RNNCell", "h", {"nonlinearity": "relu"}, weight_hh="U.h", bias_hh="0"),
    "fastrnn": theirs("FastRNNCell", "h", weight_hh="U.h", alpha="p.alpha", beta="p.beta"),
    "multiplicative_rnn": papers.multiplicative_rnn,
    "mi_rnn": papers.mi_rnn,
    "lstm_original": theirs("OriginalLSTMCell", "i g o", weight_hh="U.i U.g U.o"),
    "lstm": framework("LSTMCell", "i f g o", weight_hh="U.i U.f U.g U.o", bias_hh="0 0 0 0"),
    "lstm_peephole": theirs("PeepholeLSTMCell", "i f g o", weight_hh="U.i U.f U.g U.o", weight_ph="p.i p.f p.o"),
    "lstm_projected": papers.lstm_projected,
    "lstm_coupled": papers.lstm_coupled,
    "mclstm": theirs("MCLSTMCell", "f i o m g", weight_hh="U.f U.i U.o U.m U.g"),
    "wmclstm": theirs("WMCLSTMCell", "i f g o", {"memory_bias": False}, weight_hh="U.i U.f U.g U.o",
                      weight_mh="U.ic U.fc U.oc"),
    "lstm_residual": theirs("ResLSTMCell", "i f g o", weight_hh="U.i U.f U.g U.o", weight_ph="p.i p.f p.o",
                            weight_proj="U.p", weight_res="U.x"),
    "lstm_layer_norm": papers.lstm_layer_norm,
    "multiplicative_lstm": theirs("MultiplicativeLSTMCell", "", {"multiplicative_bias": False},
                                  weight_ih="U.x W.i W.f W.g W.o", bias_ih="0 b.i b.f b.g b.o", weight_hh="U.m",
                                  weight_mh="U.i U.f U.g U.o"),
    "mogrifier_lstm": papers.mogrifier_lstm,
    "fast_slow": papers.fast_slow,
    "gru": framework("GRUCell", "r z n", weight_hh="U.r U.z U.n", bias_hh="0 0 p.n"),
    "gru_reset_before": papers.gru_reset_before,
    "mgu": theirs("MGUCell", "f n", weight_hh="U.f U.n"),
    "ugrnn": theirs("UGRNNCell", "n g", weight_hh="U.n U.g"),
    "ligru": theirs("LiGRUCell", "z n", weight_hh="U.z U.n"),
    "minimal_rnn": theirs("MinimalRNNCell", "z", weight_hh="U.h", weight_mm="U.z", bias_hh="p.u"),
    "lightru": theirs("LightRUCell", "n f", weight_hh="U.f"),
    "star": theirs("STARCell", "z k", weight_hh="U.k"),
    "sgrn": theirs("SGRNCell", "h", weight_hh="U.h"),
    "sgu": theirs("SGUCell", "g z", HARD, weight_hh="U.g U.z"),
    "dsgu": theirs("DSGUCell", "g z", HARD, weight_hh="U.g U.z", weight_ho="U.n"),
    "fastgrnn": theirs("FastGRNNCell", "", {"nonlinearity": "sigmoid"}, **FASTGRNN),
    "janet": Library(OneState, "f c", {"weight_hh": "U.f U.c", "beta": "1"}, {"recurrent_bias": False}).step,
    "miru1": theirs("MiRU1Cell", "r n", weight_hh="U.r U.n"),
    "miru2": theirs("MiRU2Cell", "n", weight_hh="U.n"),
    "indrnn": theirs("IndRNNCell", "h", {"nonlinearity": "relu"}, vector_u="p.h"),
    "brc": theirs("BRCell", "a c h", weight_hh="p.a p.c"),
    "nbrc": theirs("NBRCell", "a c h", weight_hh="U.a U.c"),
    "paragru": papers.paragru,
    "paralstm": papers.paralstm,
    "sru": papers.sru,
    "mut1": theirs("MUT1Cell", "", weight_ih="W.z W.r I", bias_ih="b.z b.r 0", weight_hh="U.r U.n",
                   bias_hh="0 p.n"),
    "mut2": theirs("MUT2Cell", "", weight_ih="W.z I W.n", bias_ih="b.z p.r b.n", weight_hh="U.z U.r U.n"),
    "mut3": theirs("MUT3Cell", "z r n", weight_hh="U.z U.r U.n"),
    "nas": theirs("NASCell", "a1 a2 b1 b2 d1 d2 e1 e2", weight_hh="U.a1 U.a2 U.b1 U.b2 U.d1 U.d2 U.e1 U.e2"),
    "slstm": papers_today.in_blocks(papers.slstm),
    "mlstm": papers_today.mlstm,
    "mingru": papers.mingru,
    "mingru_log": papers.mingru_log,
    "minlstm": papers.minlstm,
    "hgrn": papers.hgrn,
    "trnn": Library(torchrecurrent.TRNNCell, "", {"weight_ih": "U.z W.f", "bias_ih": "0 b.f"}).step,
    "tgru": theirs("TGRUCell", "z f o", weight_hh="U.z U.f U.o"),
    "tlstm": theirs("TLSTMCell", "z f o", weight_hh="U.z U.f U.o"),
    "qrnn": papers.qrnn,
    "atr": theirs("ATRCell", "", weight_ih="U.p", bias_ih="0", weight_hh="U.q"),
    "cfn": theirs("CFNCell", "", weight_ih="W.f W.i U.n", bias_ih="b.f b.i 0", weight_hh="U.f U.i"),
    "recurrent_additive_network": theirs("RANCell", "", weight_ih="U.c W.i W.f", bias_ih="b.i b.f",
                                         weight_hh="U.i U.f"),
    "rhn": papers.rhn,
    "intersection_rnn": theirs("IntersectionRNNCell", "y n u g", weight_hh="U.y U.n U.u U.g"),
    "lem": papers.lem,
    "scrn": papers.scrn,
    "taugru": Library(Delayed, "u z g a", {"weight_hh": "U.u U.z U.g U.a"}, {"recurrent_bias": False}).step,
    "cornn": theirs("coRNNCell", "z", {"dt": 0.042, "gamma": 2.7, "epsilon": 4.7, "cell_bias": False},
                    weight_hh="U.y", weight_ch="U.z"),
    "unicornn": theirs("UnICORNNCell", "z", {"dt": 0.19, "alpha": 30.65}, weight_hh="p.y", weight_ch="p.c"),
    "antisymmetric_rnn": theirs("AntisymmetricRNNCell", "h", ANTISYMMETRIC, weight_hh="U.h"),
    "antisymmetric_rnn_gated": theirs("GatedAntisymmetricRNNCell", "z h", ANTISYMMETRIC, weight_hh="U.h"),
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
    (sequence * torch.tensor(given.outputs_back)).sum().backward(retain_graph=True)
    sum((final[name] * torch.tensor(back)).sum() for name, back in backs.items()).backward()
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
def test_a_cell_computes_what_its_witness_does(backend, name):
    assert_agrees(rnnspec.get_backend(backend, precision="f64"), (PUBLISHED[name],))


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_two_heads_of_a_cell_compute_what_their_witness_does(backend, name):
    assert_agrees(rnnspec.get_backend(backend, precision="f64"), (PUBLISHED[name],), heads=2)


@pytest.mark.parametrize(("stack", "heads"), STACKS, ids=lambda part: part[0].name if isinstance(part, tuple) else part)
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_cells_above_one_another_compute_what_their_witnesses_do(backend, stack, heads):
    assert_agrees(rnnspec.get_backend(backend, precision="f64"), stack, heads)


@pytest.mark.parametrize("part", ["lstm.U.f", "mgu.U.n", "brc.p.a", "slstm.W.f", "gla.W.k", "s4d.p.re",
                                  "rwkv7.p.removal"])  # fmt: skip
def test_a_witness_with_two_maps_exchanged_disagrees(part, monkeypatch):
    """What the comparison is worth: two maps of one shape change their places."""
    name, kind, own = part.split(".")
    other = {"lstm": "i", "mgu": "f", "brc": "c", "slstm": "i", "gla": "q", "s4d": "C_re", "rwkv7": "replace"}[name]
    step, turned = WITNESSES[name], {f"{kind}.{own}": f"{kind}.{other}", f"{kind}.{other}": f"{kind}.{own}"}
    monkeypatch.setitem(WITNESSES, name, lambda leaves, x, *states: step(
        {label: leaves[turned.get(label, label)] for label in leaves}, x, *states))  # fmt: skip
    witnessed.cache_clear()
    with pytest.raises(AssertionError):
        assert_agrees(rnnspec.get_backend("numpy", precision="f64"), (PUBLISHED[name],))
    witnessed.cache_clear()


def test_the_stabiliser_of_the_slstm_changes_no_number():
    """From a state of zeros the output and its gradients are those of the recurrence without m."""
    given, be = drawn((cells.slstm,)), rnnspec.get_backend("numpy", precision="f64")
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
def test_a_first_step_of_the_slstm_depends_on_no_other_row(backend):
    """An input gate of e^-120 in a row that begins, beside a row that has begun: the authors' code gives NaN there."""
    be, net = rnnspec.get_backend(backend, precision="f32"), Network(1, [Layer(cells.slstm, 1)])
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
