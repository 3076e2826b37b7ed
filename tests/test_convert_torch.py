"""torch.nn, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import FEW, Question, drawn, map_gradients, same_network, same_params, told
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, cell, cells, losses, out, policies
from rnnspec.convert import Loss, from_torch, to_torch
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import TORCH
from rnnspec.errors import ArgumentError, NetworkError, ShapeError, TreeError, UnsupportedError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import tree_map

torch = pytest.importorskip("torch")
nn = torch.nn


def gradients(net, model, last):
    """The gradients of a model of `to_torch` as those of the network's maps."""
    found, layers = [], [(module, i) for module in model.layers for i in range(module.num_layers)]
    for layer, (module, i) in zip(net.layers, layers, strict=True):
        row = layout_for(TORCH, layer.cell)
        suffixes = {half: f"_l{i}{'_reverse' if half == 'reverse' else ''}" for half in layer.halves}
        found.append({half: map_gradients(row, {t: getattr(module, t + s).grad.numpy() for t in row.tensors}, last)
                      for half, s in suffixes.items()})  # fmt: skip
    if model.output is None:
        return {"layers": found}
    return {"layers": found, "output": {"W": model.output.weight.grad.numpy(), "b": model.output.bias.grad.numpy()}}


@FEW
@example(Case(Network(3, [Layer(row.cell, {"h": 2, "c": 4} if row.cell is cells.lstm_projected else 4, "bidirectional")
                          for row in TORCH], Last(), Dense(2)), 5, 3, (5, 0, 2)))  # fmt: skip
@given(drawn(TORCH))
def test_a_network_is_the_module_made_of_it(case):
    question, leaf = Question.of(case), lambda a: torch.tensor(a, requires_grad=True)
    model = to_torch(case.net, question.params).model
    inputs, state = leaf(question.given.inputs), tree_map(leaf, question.given.state)
    lengths = None if case.lengths is None else torch.tensor(question.given.lengths)
    outputs, final = model(inputs, state, lengths)
    array = lambda a: a.detach().numpy()  # noqa: E731
    question.agree(array(outputs), tree_map(array, final))
    ends, seeds = [outputs], [torch.tensor(question.given.output_cotangent)]
    tree_map(lambda end, d: (ends.append(end), seeds.append(torch.tensor(d))), final, question.given.state_cotangent)
    torch.autograd.backward(ends, seeds)
    grad = lambda a: a.grad.numpy()  # noqa: E731
    for last in (False, True):
        question.agree_gradients(gradients(case.net, model, last), grad(inputs), tree_map(grad, state))


@FEW
@given(drawn(TORCH))
def test_there_and_back_is_the_same_network_and_the_same_bits(case):
    params = case.arrays().params
    back = from_torch(to_torch(case.net, params).model)
    same_network(back, case.net, params)
    assert not back.losses


KINDS = {"RNN": ("RNN", {}), "RNN-relu": ("RNN", {"nonlinearity": "relu"}), "LSTM": ("LSTM", {}),
         "LSTM-projected": ("LSTM", {"proj_size": 2}), "GRU": ("GRU", {})}  # fmt: skip
OPTIONS = st.tuples(st.integers(1, 3), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**31))


@pytest.mark.parametrize("name", KINDS)
@FEW
@given(OPTIONS, st.none() | st.tuples(*[st.integers(1, 5)] * 3))
def test_a_module_is_the_network_read_from_it(name, drawn_options, lengths):
    (kind, options), (num_layers, bidirectional, bias, batch_first, seed) = KINDS[name], drawn_options
    torch.manual_seed(seed)
    module = getattr(nn, kind)(3, 4, num_layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first,
                               dtype=torch.float64, **options)  # fmt: skip
    head = nn.Linear(module.proj_size or 4, 2, bias=bias, dtype=torch.float64)
    if bidirectional:
        head = nn.Linear(2 * head.in_features, 2, bias=bias, dtype=torch.float64)
    found = from_torch(module, head)
    expected = {Loss.BATCH_FIRST} if batch_first else set()
    assert told(found.losses) == expected | ({Loss.SUMMED_BIASES} if bias else {Loss.NO_BIAS})
    question = Question.about(found, 5, 3, lengths, seed)
    names = [name for name in ("h", "c") if name in found.net.layers[0].cell.states]
    places = [(i, half) for i, layer in enumerate(found.net.layers) for half in layer.halves]
    state = [torch.tensor(np.stack([question.given.state[i][half][n] for i, half in places])) for n in names]
    inputs = torch.tensor(question.given.inputs.swapaxes(0, 1) if batch_first else question.given.inputs)
    ends = torch.tensor(lengths or [5] * 3)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, ends, batch_first, enforce_sorted=False)
    with torch.no_grad():
        out, end = module(packed, tuple(state) if len(state) > 1 else state[0])
        outputs, _ = nn.utils.rnn.pad_packed_sequence(out, total_length=5)
        logits = torch.where((torch.arange(5)[:, None] < ends)[..., None], head(outputs), 0.0).numpy()
    ended = dict(zip(names, end if len(names) > 1 else [end], strict=True))
    final = [{half: {n: ended[n][places.index((i, half))].numpy() for n in names} for half in layer.halves}
             for i, layer in enumerate(found.net.layers)]  # fmt: skip
    question.agree(logits, final)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_network_keeps_the_precision_of_its_numbers(dtype):
    module = nn.GRU(3, 4, 2, bidirectional=True, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if name.startswith("bias_hh"):
                tensor[:8] = 0.0
    found = from_torch(module)
    assert not found.losses
    kept = "float64" if dtype == "float64" else "float32"
    assert found.params["layers"][0]["forward"]["p"]["n"].dtype == kept
    again = to_torch(found.net, found.params).model.layers[0].state_dict()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor.to(getattr(torch, kept)), again[name])


def test_a_state_dict_says_with_its_cell_what_a_module_says():
    lstm, head = nn.LSTM(3, 4, 2, bidirectional=True), nn.Linear(8, 5)
    one = from_torch(lstm, head, read=Last())
    other = from_torch((cells.lstm, lstm.state_dict()), (Dense, head.state_dict()), read=Last())
    assert one.net == other.net
    same_params(one.params, other.params)


def test_a_state_dict_is_read_as_a_cell_of_ones_own():
    @cell
    def mine(x, R, memory, seen):
        keep = sigmoid(R.keep(seen) + x.keep)
        memory = sigmoid(R.take(seen) + x.take) * tanh(R.new(seen) + x.new) + keep * memory
        seen = R.narrow(tanh(memory) * sigmoid(R.show(seen) + x.show))
        return out(seen), memory, seen

    lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, dtype=torch.float64)
    found = from_torch((mine, lstm.state_dict()))
    assert {layer.cell for layer in found.net.layers} == {mine}
    assert found.net.layers[0].state_widths == {"memory": 4, "seen": 2}
    same_network(from_torch(lstm), found.net, found.params)
    again = to_torch(found.net, found.params).model
    assert again.states == (("seen", "memory"),) * 2
    same_params(from_torch((mine, again.layers[0].state_dict())).params, found.params)


def test_what_a_module_cannot_hold_is_told():
    layer = Layer(cells.lstm, 4, gradient=policies.Truncated(3))
    net = Network(3, [layer], output=Dense(2), loss=losses.SoftmaxCrossEntropy())
    found = to_torch(net, net.init(0))
    assert told(found.losses) == {Loss.SECOND_BIAS, Loss.POLICY, Loss.OBJECTIVE}
    assert found.losses[0].place == "layers.0.forward"
    assert str(found.losses[-1]) == "the loss is not carried over"


def test_a_module_that_runs_twice_becomes_two_layers():
    gru = nn.GRU(3, 3, bias=False)
    assert told(from_torch(gru, gru).losses) == {Loss.NO_BIAS, Loss.SHARED}


SMALL = Network(3, [Layer(cells.elman, 4)])
REFUSED = {
    "dropout": (lambda: from_torch(nn.LSTM(3, 4, 2, dropout=0.5)), UnsupportedError, "dropout=0.5"),
    "no part of a network": (lambda: from_torch(nn.Conv1d(3, 4, 2)), ArgumentError, "Conv1d"),
    "a subclass": (lambda: from_torch(type("Mine", (nn.LSTM,), {})(3, 4)), ArgumentError, "Mine"),
    "nothing": (from_torch, NetworkError, "none"),
    "an output layer alone": (lambda: from_torch(nn.Linear(3, 4)), NetworkError, "elsewhere"),
    "a layer after the output": (lambda: from_torch(nn.GRU(3, 4), nn.Linear(4, 3), nn.GRU(3, 4)), NetworkError, "GRU"),
    "widths that do not fit": (lambda: from_torch(nn.GRU(3, 4), nn.GRU(3, 4)), ShapeError, "weight_ih"),
    "an output that does not fit": (lambda: from_torch(nn.GRU(3, 4), nn.Linear(3, 4)), ShapeError, "(4, 3)"),
    "a cell that is not there": (lambda: from_torch((cells.mingru, {})), UnsupportedError, "mingru"),
    "a prefix": (lambda: from_torch((cells.lstm, {"rnn.weight_ih_l0": np.ones((4, 4))})), TreeError, "rnn.weight"),
    "a tensor missing": (lambda: from_torch((cells.elman, {"weight_ih_l0": np.ones((4, 3))})), TreeError, "weight_hh"),
    "another cell's tensors": (
        lambda: from_torch((cells.gru, nn.LSTM(3, 4).state_dict())), ShapeError, "weight_ih"),
    "peepholes": (lambda: refused_cell(cells.lstm_peephole), UnsupportedError, "lstm_peephole"),
    "reset before": (lambda: refused_cell(cells.gru_reset_before), UnsupportedError, "gru_reset_before"),
    "reverse": (lambda: refused_cell(cells.lstm, "reverse"), UnsupportedError, "reverse in layers.0"),
    "a projection onto as many": (
        lambda: refused_cell(cells.lstm_projected, hidden={"h": 4, "c": 4}), UnsupportedError, "4 onto 4 in layers.0"),
    "no network": (lambda: to_torch(None, {}), ArgumentError, "NoneType"),
    "params missing": (lambda: to_torch(SMALL, {"layers": []}), TreeError, "layers.0.forward"),
    "params of another shape": (
        lambda: to_torch(SMALL, Network(2, SMALL.layers).init(0)), ShapeError, "layers.0.forward.W.h"),
    "params of a framework": (
        lambda: to_torch(SMALL, tree_map(torch.tensor, SMALL.init(0))), ArgumentError, "Tensor"),
}  # fmt: skip


def refused_cell(given, direction="forward", hidden=4):
    net = Network(3, [Layer(given, hidden, direction)])
    return to_torch(net, net.init(0))


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    call, kind, evidence = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert evidence in caught.value.got + caught.value.must
