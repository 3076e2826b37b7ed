"""Every note is true, shown by what it says.

Two models are read as one network, a model trains otherwise, an array stands otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from conversions import FEW, Question, held, noted, same_params, shapes_of, widths_of
from hypothesis import given
from hypothesis import strategies as st
from sides import Options, opened

import rnnspec
from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, Steps, cells, convert, losses, policies
from rnnspec.convert import Note
from rnnspec.convert.layouts import TABLES
from rnnspec.errors import UnsupportedError
from rnnspec.tree import leaves

ROWS = [(side, row) for side, rows in TABLES.items() for row in rows]
EVERY_ROW = pytest.mark.parametrize(("name", "row"), ROWS,
                                    ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])  # fmt: skip


def packed(row, seed):
    """A row's tensors with drawn numbers in every place of a map, and the shapes of its maps."""
    shapes = shapes_of(row.cell, *widths_of(row.cell, 2, 3))
    rng = np.random.default_rng(seed)
    tensors = row.spread({name: np.full(shape, np.nan) for name, shape in shapes.items()})
    return {name: np.where(np.isnan(a), rng.normal(size=a.shape), a) for name, a in tensors.items()}, shapes


@EVERY_ROW
@FEW
@given(st.integers(0, 2**31))
def test_what_reading_notes_is_what_writing_does_not_give_back(name, row, seed):
    tensors, shapes = packed(row, seed)
    maps, found = row.unpack("call", "place", tensors, shapes)
    again = row.pack(maps)
    changed = {tensor for tensor in tensors if not np.array_equal(again.get(tensor), tensors[tensor])}
    changed -= {tensor for tensor in row.spare if not row.repeated.intersection(row.tensors[tensor].split())}
    assert bool(changed) == (Note.SUMMED_BIASES in found) == bool(row.repeated)
    assert all(row.tensors[tensor].split() for tensor in changed)
    assert set(found) == set(row.read_notes()) - {Note.NO_BIAS}


@EVERY_ROW
def test_a_bias_that_is_not_there_is_zeros_here_and_written(name, row):
    tensors, shapes = packed(row, 0)
    bare = {tensor: a for tensor, a in tensors.items() if tensor in row.required}
    maps, found = row.unpack("call", "place", bare, shapes)
    held = any("." in row.tensors[tensor] for tensor in row.optional)
    assert (Note.NO_BIAS in found) == held == (Note.NO_BIAS in row.read_notes())
    assert row.pack(maps).keys() - bare.keys() == set(row.optional) - set(row.spare)
    assert not any(maps[name].any() for name in maps if name.startswith("b.") and row.optional)


@EVERY_ROW
def test_a_second_bias_is_zeros_and_no_other_tensor_has_any(name, row):
    _, shapes = packed(row, 0)
    tensors = row.pack({name: np.ones(shape) for name, shape in shapes.items()})
    zeros = any((a == 0).any() for a in tensors.values())
    assert zeros == bool({Note.SECOND_BIAS, Note.FIXED_PART}.intersection(row.written_notes()))


def test_training_moves_a_second_bias_too():
    torch = pytest.importorskip("torch")
    net = Network(3, [Layer(cells.elman, 4)])
    case = Case(net, 3, 2)
    a, found = case.arrays(), convert.to_torch(net, case.arrays().params)
    assert noted(found.notes) == {Note.SECOND_BIAS}
    outputs, _ = found.model(torch.tensor(a.inputs))
    outputs.sum().backward()
    torch.optim.SGD(found.model.parameters(), 0.1).step()
    after = convert.from_torch(found.model).params["layers"][0]["forward"]["b"]["h"]
    be = rnnspec.get_backend("numpy", precision="f64")
    pulled = be.pullback(net, a.params, a.inputs, np.ones((3, 2, 4))).params["layers"][0]["forward"]["b"]["h"]
    before = a.params["layers"][0]["forward"]["b"]["h"]
    np.testing.assert_allclose(after - before, -2 * 0.1 * pulled, rtol=1e-9)


def test_an_inner_bias_is_dropped_only_where_it_is_zeros():
    opened("Flax nnx")
    case = Case(Network(3, [Layer(cells.gru, 4)]), 3, 2)
    table = TABLES["Flax nnx"]
    params = held(table, case, "f32")
    found = convert.to_flax(case.net, params)
    assert noted(found.notes) == noted(convert.from_flax(found.model).notes) == {Note.NO_INNER_BIAS}
    be, a = rnnspec.get_backend("numpy"), case.arrays("f32")
    assert be.pullback(case.net, params, a.inputs, a.output_cotangent).params["layers"][0]["forward"]["p"]["n"].all()
    with pytest.raises(UnsupportedError, match=r"p\.n of layers\.0\.forward must be zeros"):
        convert.to_flax(case.net, a.params)


@pytest.mark.parametrize("name", ["Flax nnx", "ONNX"])
def test_rounding_is_told_where_numbers_change(name):
    side = opened(name)
    to, back = (convert.to_onnx, convert.from_onnx) if name == "ONNX" else (convert.to_flax, convert.from_flax)
    case = Case(Network(3, [Layer(cells.elman, 4)]), 1, 1)
    for precision in ("f32", "f64"):
        params = held(side.TABLE, case, precision)
        found = to(case.net, params)
        pairs = zip(leaves(params), leaves(back(found.model).params), strict=True)
        kept = [np.array_equal(a, b) for (_, a), (_, b) in pairs]
        assert (Note.ROUNDED in noted(found.notes)) == (precision == "f64") == (not all(kept))


def test_batch_first_is_told_where_arrays_stand_so():
    torch = pytest.importorskip("torch")
    for first in (False, True):
        module = torch.nn.GRU(3, 4, batch_first=first, bias=False)
        found = convert.from_torch(module)
        x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
        with torch.no_grad():
            as_it_is = module(torch.tensor(x))[0].numpy()
        ours = rnnspec.get_backend("numpy").run(found.net, found.params, x).outputs
        assert np.allclose(as_it_is, ours, atol=1e-5) == (not first)
        assert (Note.BATCH_FIRST in noted(found.notes)) == first


def test_keras_arrays_are_always_batch_first():
    opened("Keras")
    net = Network(3, [Layer(cells.lstm, 4)], Steps())
    found = convert.to_keras(net, net.init(0))
    assert found.model.output_shape == (None, None, 4)
    assert noted(found.notes) == {Note.BATCH_FIRST, Note.PADDING}
    assert np.array(found.model(np.ones((2, 5, 3)))).shape == (2, 5, 4)
    assert noted(convert.from_keras(found.model).notes) == {Note.BATCH_FIRST}


def test_an_initial_state_of_ones_is_not_here_unless_given():
    opened("Flax nnx")
    from flax import nnx  # noqa: PLC0415

    with pytest.warns(UserWarning, match="carry_init"):
        cell = nnx.SimpleCell(3, 4, carry_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
    found = convert.from_flax(cell)
    assert noted(found.notes) == {Note.INITIAL_STATE}
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    theirs, be = np.array(nnx.RNN(cell, time_major=True)(x)), rnnspec.get_backend("numpy")
    ones = [{"forward": {"h": np.ones((2, 4), np.float32)}}]
    assert not np.allclose(be.run(found.net, found.params, x).outputs, theirs, atol=1e-3)
    assert np.allclose(be.run(found.net, found.params, x, state=ones).outputs, theirs, atol=1e-5)


def test_directions_have_an_axis_in_a_nodes_own_outputs():
    side = opened("ONNX")
    row = TABLES["ONNX"][0]
    case = Case(Network(3, [Layer(row.cell, 4, "bidirectional")]), 5, 2)
    model, found, _ = side.built(case, row, Options(bias=False))
    assert Note.DIRECTION_AXIS not in noted(found.notes)
    model.graph.output[0].name = next(node for node in model.graph.node if node.op_type == "RNN").output[0]
    again = convert.from_onnx(model)
    assert Note.DIRECTION_AXIS in noted(again.notes) and again.net == found.net
    state = {"h0": np.zeros((2, 2, 4), np.float32)}
    theirs = side.run(model, {"X": np.ones((5, 2, 3), np.float32)} | state)[model.graph.output[0].name]
    assert theirs.shape == (5, 2, 2, 4)


@pytest.mark.parametrize("name", ["Keras", "ONNX"])
def test_padding_is_told_where_what_stands_behind_a_rows_end_is_not_ours(name):
    side = opened(name)
    case = Case(Network(3, [Layer(cells.lstm, 4)]), 4, 2, (0, 2))
    a, be = case.arrays("f32"), rnnspec.get_backend("numpy")
    ours = be.run(case.net, a.params, a.inputs, a.state, a.lengths)
    if name == "ONNX":
        found = convert.to_onnx(case.net, a.params, lengths=True, state=True)
        first = {f"state.0.{s}": a.state[0]["forward"][s][None] for s in "hc"}
        end = side.run(found.model, {"inputs": a.inputs, "lengths": a.lengths.astype(np.int32)} | first)
        theirs, expected = end["final.state.0.c"][0], ours.state[0]["forward"]["c"]
        assert Note.PADDING not in noted(convert.to_onnx(case.net, a.params).notes)
    else:
        found = convert.to_keras(case.net, a.params)
        mask = np.arange(4) < a.lengths[:, None]
        theirs = np.array(found.model.layers[0](a.inputs.swapaxes(0, 1), mask=mask)).swapaxes(0, 1)
        expected = ours.outputs
    assert Note.PADDING in noted(found.notes)
    assert not np.allclose(theirs, expected, atol=1e-3)


def test_a_module_that_runs_twice_becomes_two():
    torch = pytest.importorskip("torch")
    gru = torch.nn.GRU(3, 3, bias=False)
    assert noted(convert.from_torch(gru, torch.nn.GRU(3, 3, bias=False)).notes) == {Note.NO_BIAS}
    found = convert.from_torch(gru, gru)
    assert noted(found.notes) == {Note.NO_BIAS, Note.SHARED}
    one, other = found.params["layers"]
    same_params(one, other)
    assert not np.shares_memory(one["forward"]["W"]["n"], other["forward"]["W"]["n"])


def test_one_weight_in_two_modules_becomes_two():
    torch = pytest.importorskip("torch")
    one, other = torch.nn.RNN(3, 3, bias=False), torch.nn.RNN(3, 3, bias=False)
    other.weight_hh_l0 = one.weight_hh_l0
    found = convert.from_torch(one, other)
    assert [note.place for note in found.notes if note.what is Note.SHARED] == ["layers.1"]


def test_one_cell_in_both_directions_becomes_two():
    opened("Flax nnx")
    from flax import nnx  # noqa: PLC0415

    rnn = nnx.RNN(nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0)))
    assert noted(convert.from_flax(nnx.Bidirectional(rnn, rnn, time_major=True)).notes) == {Note.SHARED}


@pytest.mark.parametrize("name", TABLES)
def test_a_policy_and_an_objective_are_told(name):
    side = opened(name)
    cell = TABLES[name][0].cell
    layer = Layer(cell, 4, gradient=policies.Truncated(1))
    net = Network(3, [layer], Last(), Dense(2), losses.SoftmaxCrossEntropy())
    plain = Network(3, [Layer(cell, 4)], Last(), Dense(2))
    params = net.init(0)
    found, without = (side.write(n, params) for n in (net, plain))
    assert noted(found.notes) - noted(without.notes) == {Note.POLICY, Note.OBJECTIVE}
    assert side.read(found.model).net == plain


def test_a_policy_is_not_carried_over_since_gradients_of_the_model_are_the_full_ones():
    side = opened("torch.nn")
    case = Case(Network(3, [Layer(cells.elman, 4, gradient=policies.Truncated(1))]), 4, 2)
    plain = Network(3, [Layer(cells.elman, 4)])
    a, be = case.arrays(), rnnspec.get_backend("numpy", precision="f64")
    answer = side.ask(convert.to_torch(case.net, a.params).model, Question.of(case))
    cut, full = (be.pullback(n, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state).inputs
                 for n in (case.net, plain))  # fmt: skip
    assert np.allclose(answer.inputs, full) and not np.allclose(answer.inputs, cut)


def test_regularisers_and_constraints_are_gone():
    opened("Keras")
    import keras  # noqa: PLC0415

    layers = [keras.layers.LSTM(4, kernel_regularizer="l2", bias_constraint="non_neg"),
              keras.layers.Dense(2, activity_regularizer="l2")]  # fmt: skip
    model = keras.Sequential([keras.Input((None, 3)), *layers])
    found = convert.from_keras(model)
    assert [note.place for note in found.notes if note.what is Note.REGULARISERS] == ["layers.0.forward", "output"]
    again = convert.to_keras(found.net, found.params).model
    assert model.losses and not again.losses
