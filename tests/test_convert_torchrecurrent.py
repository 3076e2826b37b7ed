"""torchrecurrent, both ways: what is read, what is refused, and parts of its tensors that a cell does not have."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import Question, noted, refuses, same_params, widths_of
from hypothesis import given
from hypothesis import strategies as st
from sides import opened

from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, cell, cells
from rnnspec.convert import Note, from_torchrecurrent, to_torchrecurrent
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import TORCHRECURRENT
from rnnspec.convert.torchrecurrent_network import HardSigmoid
from rnnspec.errors import ArgumentError, NetworkError, ShapeError, TreeError, UnsupportedError
from rnnspec.primitives import sigmoid, tanh

torch = pytest.importorskip("torch")
library = pytest.importorskip("torchrecurrent")
nn = torch.nn
KINDS = [row.kind for row in TORCHRECURRENT]


def test_all_cells_of_the_table_in_one_stack_compute_the_same():
    side = opened("torchrecurrent")
    net = Network(3, [Layer(row.cell, widths_of(row.cell, 3, 3)[1]) for row in TORCHRECURRENT], Last(), Dense(2))
    question = Question.of(Case(net, 4, 3))
    question.holds(side.ask(to_torchrecurrent(net, question.params).model, question))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_network_keeps_the_precision_of_its_numbers(dtype):
    module = library.MGU(3, 4, 2, dtype=getattr(torch, dtype))
    found = from_torchrecurrent(module)
    assert not found.notes
    kept = "float64" if dtype == "float64" else "float32"
    assert found.params["layers"][0]["forward"]["W"]["n"].dtype == kept
    for level, layer in enumerate(to_torchrecurrent(found.net, found.params).model.layers):
        for name, tensor in module.cells[level].state_dict().items():
            assert torch.equal(tensor.to(getattr(torch, kept)), layer.cells[0].state_dict()[name])


def test_a_state_dict_says_with_its_cell_what_a_module_says():
    module, head = library.MGU(3, 4, 2), nn.Linear(4, 5)
    one = from_torchrecurrent(module, head, read=Last())
    other = from_torchrecurrent((cells.mgu, module.state_dict()), (Dense, head.state_dict()), read=Last())
    apart = from_torchrecurrent(*((cells.mgu, own.state_dict()) for own in module.cells), head, read=Last())
    alone = from_torchrecurrent(*module.cells, head, read=Last())
    for found in (other, apart, alone):
        assert found.net == one.net
        same_params(found.params, one.params)


def test_a_state_dict_is_read_as_a_cell_of_ones_own():
    @cell
    def mine(x, R, seen):
        keep = sigmoid(R.keep(seen) + x.keep)
        return keep * tanh(R.new(keep * seen) + x.new) + (1 - keep) * seen

    module = library.MGU(3, 4)
    found = from_torchrecurrent((mine, module.state_dict()))
    assert found.net.layers[0].cell == mine
    np.testing.assert_array_equal(found.params["layers"][0]["forward"]["W"]["keep"],
                                  module.cells[0].weight_ih[:4].detach().numpy())  # fmt: skip


def changed(module, name, value):
    with torch.no_grad():
        dict(module.named_parameters())[name].fill_(value)
    return module


def hooked():
    module = library.MGU(3, 4)
    module.cells[0].register_forward_hook(lambda *_: None)
    return module


MGU = library.MGU(3, 4)
REFUSED = {
    "dropout": (lambda: [library.MGU(3, 4, 2, dropout=0.5)], UnsupportedError, "dropout=0.5"),
    "a hook": (lambda: [hooked()], UnsupportedError, "hooks of MGUCell"),
    "another activation": (lambda: [library.MGU(3, 4, nonlinearity="relu")], UnsupportedError, "act of MGU"),
    "the other hard sigmoid": (lambda: [library.SGU(3, 4)], UnsupportedError, "HardSigmoid"),
    "tanh where the paper has relu": (lambda: [library.IndRNN(3, 4)], UnsupportedError, "act of IndRNN"),
    "the old z of LEM": (lambda: [library.LEM(3, 4)], UnsupportedError, "z of the step before"),
    "the feedback of SCRN": (lambda: [library.SCRNCell(3, 4)], UnsupportedError, "feeds tanh of the output back"),
    "a bias that the cell has not": (lambda: [changed(library.SGRN(3, 4), "cells.0.bias_hh", 0.5)], UnsupportedError,
                                     "bias_hh of layers.0.forward must hold zeros"),
    "a bias within tanh": (lambda: [changed(library.WMCLSTM(3, 4), "cells.0.bias_mh", 0.5)], UnsupportedError,
                           "bias_mh of layers.0.forward must hold zeros"),
    "no part of a network": (lambda: [nn.LSTM(3, 4)], ArgumentError, "LSTM"),
    "a subclass": (lambda: [type("Mine", (library.MGU,), {})(3, 4)], ArgumentError, "Mine"),
    "nothing": (list, NetworkError, "none"),
    "a cell that it does not have": (lambda: [(cells.lstm, MGU.state_dict())], UnsupportedError, "lstm"),
    "no cell": (lambda: [("MGU", MGU.state_dict())], UnsupportedError, "MGU"),
    "a missing tensor": (lambda: [(cells.mgu, {"weight_ih": torch.ones(8, 3)})], TreeError, "no weight_hh"),
    "another tensor": (lambda: [(cells.mgu, MGU.cells[0].state_dict() | {"weight_ch": torch.ones(4)})], TreeError,
                       "weight_ch"),
    "a prefix": (lambda: [(cells.mgu, {f"rnn.{name}": a for name, a in MGU.state_dict().items()})], TreeError,
                 "no weight_hh"),
    "another shape": (lambda: [(cells.mgu, MGU.cells[0].state_dict() | {"weight_hh": torch.ones(4)})], ShapeError,
                      "(8, 4)"),
    "a layer of other widths after a dense one": (
        lambda: [MGU, nn.Linear(4, 3), library.MGU(4, 4)], ShapeError, "weight_ih"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_refuses_to_read(what):
    made, kind, evidence = REFUSED[what]
    refuses(lambda: from_torchrecurrent(*made()), kind, evidence)


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_it_has_one_direction(direction):
    net = Network(3, [Layer(cells.mgu, 4, direction)])
    refuses(lambda: to_torchrecurrent(net, net.init(0)), UnsupportedError, f"{direction} in layers.0")


def test_a_cell_that_it_does_not_have_is_not_written():
    net = Network(3, [Layer(cells.elman, 4)])
    refuses(lambda: to_torchrecurrent(net, net.init(0)), UnsupportedError, "elman in layers.0")


FREE = {"kernel_init", "recurrent_kernel_init", "bias_init", "recurrent_bias_init", "device", "dtype", "input_size",
        "hidden_size"}  # fmt: skip
"""Options that no function depends on, and those that the network shows."""


NUMBERS = {"alpha", "beta", "zeta", "nu"}
"""Learned numbers."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_a_cell_is_a_function_that_is_refused_a_bias_a_constant_or_of_no_account(kind):
    side = opened("torchrecurrent")
    for option in side.options_of(kind) - FREE:
        if option.endswith("nonlinearity"):
            refuses(lambda option=option: side.part(kind, {option: "gelu"}), UnsupportedError, "GELU")
        elif option.endswith("_init"):
            value = 0.25 if option[:-5] in NUMBERS else "zeros" if "bias" in option else "ones"
            assert noted(side.part(kind, {option: value}).notes) <= {Note.LEARNED}
        elif option.endswith("bias"):
            assert noted(side.part(kind, {option: False}).notes) <= {Note.NO_BIAS, Note.LEARNED}
        else:
            assert 0.375 in side.part(kind, {option: 0.375}).net.layers[0].cell.constants.values()


def test_a_written_layer_has_no_second_bias_to_train():
    net = Network(3, [Layer(cells.mgu, 4), Layer(cells.minimal_rnn, 4), Layer(cells.wmclstm, 4)])
    layers = to_torchrecurrent(net, net.init(0)).model.layers
    assert [[name for name, _ in layer.cells[0].named_parameters() if name.startswith("bias")] for layer in layers] == [
        ["bias_ih"], ["bias_ih", "bias_hh"], ["bias_ih"]]  # fmt: skip


def test_a_bias_that_is_no_parameter_counts_where_it_is_not_zeros():
    module = library.MGU(3, 4, bias=False, recurrent_bias=False)
    assert noted(from_torchrecurrent(module).notes) == {Note.NO_BIAS}
    module.cells[0].bias_hh.fill_(0.5)
    found = from_torchrecurrent(module)
    assert not found.notes and (found.params["layers"][0]["forward"]["b"]["f"] == 0.5).all()


def test_a_hard_sigmoid_of_ours_is_read_again():
    module = library.DSGU(3, 4, gate_nonlinearity=HardSigmoid())
    assert from_torchrecurrent(module).net.layers[0].cell == cells.dsgu


@cell
def slow(x, R, p, h, *, rate=0.5):
    """A cell with a constant, and with `x` itself."""
    return (1 - rate) * h + rate * tanh(x + x.a * R.a(h) + p.a)


SLOW = Layout("Slow", slow, {"weight_ih": "W.a I", "bias_ih": "b.a 0", "weight_hh": "U.a", "scale": "1",
                             "bias_hh": "p.a"}, constants={"speed": "rate"})  # fmt: skip


@given(st.integers(1, 4), st.integers(0, 99))
def test_parts_that_a_cell_does_not_have_are_written_and_must_be_read_so(width, seed):
    shapes = {f"{kind}.{name}": shape for kind, maps in slow.parameter_shapes(width, width).items()
              for name, shape in maps.items()}  # fmt: skip
    rng = np.random.default_rng(seed)
    maps = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    tensors = SLOW.pack(maps)
    np.testing.assert_array_equal(tensors["weight_ih"][width:], np.eye(width))
    assert not tensors["bias_ih"][width:].any() and (tensors["scale"] == 1).all()
    assert SLOW.written_notes() == [Note.FIXED_PART] and SLOW.widths(tensors) == (width, width)
    same_params(SLOW.unpack("call", "place", tensors, shapes)[0], maps)
    same_params(SLOW.spread(maps), tensors)
    for name, (at, must) in {"weight_ih": (-1, "the identity"), "bias_ih": (-1, "zeros"), "scale": (0, "ones")}.items():
        other = tensors | {name: tensors[name].copy()}
        other[name][at] += 0.25
        refuses(lambda other=other: SLOW.unpack("call", "place", other, shapes), UnsupportedError, "0.25")
        refuses(lambda other=other: SLOW.unpack("call", "place", other, shapes), UnsupportedError, must)


def test_a_named_constant_is_an_option_of_the_layer():
    row = SLOW.of(slow(rate=0.25))
    assert row.options == {"speed": 0.25} and row.cell.constants == {"rate": 0.25}
    assert SLOW.of(slow).options == {"speed": 0.5}
    assert SLOW.holding({"rate": 0.125}).cell == slow(rate=0.125)
    assert SLOW.of(cells.elman) is None


def test_what_runs_twice_is_read_as_two_copies():
    module = library.MGU(4, 4)
    found = from_torchrecurrent(module, module)
    assert noted(found.notes) == {Note.SHARED}
    one, other = found.params["layers"]
    same_params(one, other)
    before = one["forward"]["U"]["f"].copy()
    changed(module, "cells.0.weight_hh", 0.5)
    np.testing.assert_array_equal(one["forward"]["U"]["f"], before)
