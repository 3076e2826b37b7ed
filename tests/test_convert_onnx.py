"""ONNX, both ways: what ONNX Runtime computes against NumPy's backend, in float32, the only precision that it has."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from conversions import FEW, Answer, Question, noted, refuses, same_params
from hypothesis import given
from hypothesis import strategies as st

import rnnspec
from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, Steps, cells
from rnnspec.convert import Note, from_onnx, to_onnx, to_onnx_step
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError
from rnnspec.layer import DIRECTIONS
from rnnspec.tree import leaves, tree_map

onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT

def run(model, given):
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, given), strict=True))


def test_a_model_without_states_starts_from_zeros():
    case = Case(Network(3, [Layer(cells.lstm, 4, "bidirectional")], Steps(), Dense(2)), 4, 2)
    question = Question.of(case, "f32").from_zeros()
    model = to_onnx(case.net, question.params).model
    question.holds(Answer(run(model, {"inputs": question.given.inputs})["outputs"]))


NODES = {"RNN": ("RNN", 1, {}), "RNN-relu": ("RNN", 1, {"activations": ["Relu"]}), "LSTM": ("LSTM", 4, {}),
         "LSTM-peephole": ("LSTM", 4, {}), "GRU-before": ("GRU", 3, {}),
         "GRU": ("GRU", 3, {"linear_before_reset": 1})}  # fmt: skip


def one_node(name, direction="forward", bias=True, seed=0, **more):
    """A model of one recurrent node as it is, its Y the output."""
    (kind, gates, options), rng = NODES[name], np.random.default_rng(seed)
    d = 2 if direction == "bidirectional" else 1
    own = {key: value * d if isinstance(value, list) else value for key, value in options.items()}
    shapes = {"W": (d, gates * 4, 3), "R": (d, gates * 4, 4)} | ({"B": (d, gates * 8)} if bias else {})
    shapes |= {"P": (d, 12)} if name == "LSTM-peephole" else {}
    tensors = [onnx.numpy_helper.from_array(rng.uniform(-0.7, 0.7, shape).astype(np.float32), key)
               for key, shape in shapes.items()]  # fmt: skip
    names = ["X", "W", "R", "B" if bias else "", "", "", "", "P" if "P" in shapes else ""]
    names = names[: max(i for i, key in enumerate(names) if key) + 1]
    node = helper.make_node(kind, names, ["Y", "Y_h"], hidden_size=4, direction=direction, **own | more)
    inputs = [helper.make_tensor_value_info("X", FLOAT, (None, None, 3))]
    outputs = [helper.make_tensor_value_info(key, FLOAT, None) for key in ("Y", "Y_h")]
    graph = helper.make_graph([node], "one", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


@pytest.mark.parametrize("name", NODES)
@FEW
@given(st.sampled_from(tuple(DIRECTIONS)), st.booleans(), st.integers(0, 2**31))
def test_a_node_is_the_network_read_from_it(name, direction, bias, seed):
    model = one_node(name, direction, bias, seed)
    found = from_onnx(model)
    assert noted(found.notes) == {Note.SUMMED_BIASES if bias else Note.NO_BIAS, Note.DIRECTION_AXIS, Note.STATES}
    question = Question.of(Case(found.net, 5, 2, seed=seed), "f32", found.params).from_zeros()
    question.holds(Answer(np.concatenate(list(run(model, {"X": question.given.inputs})["Y"].swapaxes(0, 1)), -1)))


READ = {
    "every step": (lambda y, h: y, {}, Steps()),
    "every step of both directions": (lambda y, h: y, {"num_layers": 2, "bidirectional": True}, Steps()),
    "the last step": (lambda y, h: y[-1], {}, Last()),
    "the last step, batch first": (lambda y, h: y[:, -1], {"batch_first": True}, Last()),
    "the final state": (lambda y, h: h[-1], {"num_layers": 2}, Last()),
    "both final states": (
        lambda y, h: pytest.importorskip("torch").cat([h[-2], h[-1]], -1), {"num_layers": 2, "bidirectional": True},
        Last()),
}  # fmt: skip


def exported(torch, kind, read, **options):
    """A recurrent module and a Linear on what is read of it, as people wire them, and what torch writes of it."""

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(3, 4, **options)
            self.out = torch.nn.Linear(8 if options.get("bidirectional") else 4, 2)

        def forward(self, x):
            y, final = self.rnn(x)
            return self.out(read(y, final[0] if isinstance(final, tuple) else final))

    torch.manual_seed(0)
    module = Classifier().eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(5, 2, 3),), file, dynamo=False, input_names=["x"],
                          dynamic_axes={"x": {0: "time", 1: "batch"}})  # fmt: skip
    return module, onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("name", READ)
def test_what_torch_exports_is_the_network_that_was_trained(name, kind):
    torch = pytest.importorskip("torch")
    wiring, options, read = READ[name]
    module, model = exported(torch, kind, wiring, **options)
    found = from_onnx(model)
    assert found.net.read == read and found.net.output == Dense(2)
    first = options.get("batch_first", False)
    assert noted(found.notes) == {Note.SUMMED_BIASES} | ({Note.BATCH_FIRST} if first else set())
    question = Question.of(Case(found.net, 5, 2, seed=0), "f32", found.params).from_zeros()
    with torch.no_grad():
        x = torch.tensor(question.given.inputs)
        question.holds(Answer(module(x.swapaxes(0, 1) if first else x).numpy()))


def test_a_reverse_half_that_is_read_at_the_last_time_is_no_last():
    torch = pytest.importorskip("torch")
    module, model = exported(torch, "LSTM", lambda y, h: y[-1], bidirectional=True)
    found = from_onnx(model)
    recurrent, dense = found.net.layers
    assert found.net.read == Last() and (recurrent.direction, dense.cell) == ("bidirectional", cells.dense)
    question = Question.of(Case(found.net, 5, 2, seed=0), "f32", found.params).from_zeros()
    with torch.no_grad():
        question.holds(Answer(module(torch.tensor(question.given.inputs)).numpy()))


def chain(*nodes, constants=(), inputs=()):
    """A GRU, then these nodes; the last one's output is the model's."""
    model = one_node("GRU")
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in constants)
    model.graph.input.extend(helper.make_tensor_value_info(name, FLOAT, None) for name in inputs)
    del model.graph.output[:]
    model.graph.output.extend([helper.make_tensor_value_info(model.graph.node[-1].output[0], FLOAT, None)])
    return model


def node(kind, *inputs, out="z", **options):
    return helper.make_node(kind, list(inputs), [out], name=f"the {kind}", **options)


def with_input(position, name, array=None):
    model = one_node("GRU")
    inputs = [*model.graph.node[0].input, "", "", ""][:6]
    inputs[position] = name
    del model.graph.node[0].input[:]
    model.graph.node[0].input.extend(inputs[: position + 1])
    if array is not None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def sliced():
    model = one_node("GRU")
    cut = helper.make_node("Slice", ["X", "i", "j"], ["part"])
    model.graph.node.insert(0, cut)
    model.graph.node[1].input[0] = "part"
    ends = {"i": np.array([0]), "j": np.array([2])}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in ends.items())
    return model


REFUSED = {
    "no model": (lambda: from_onnx(b""), ArgumentError, "bytes"),
    "a model that is not valid": (lambda: from_onnx(chain(node("Relu", "nowhere"))), ArgumentError, "nowhere"),
    "an operator of others": (
        lambda: from_onnx(chain(node("MatMul", "Y", "W", domain="com.microsoft"))), UnsupportedError,
        "com.microsoft.MatMul 'the MatMul'"),
    "an axis that is not there": (
        lambda: from_onnx(chain(node("Gather", "Y", "i", axis=7), constants=[("i", np.array(0))])),
        ArgumentError, "IndexError"),
    "an activation": (
        lambda: from_onnx(one_node("GRU", activations=["Sigmoid", "Sine"])), UnsupportedError, "the activation Sine"),
    "an activation without its numbers": (
        lambda: from_onnx(one_node("RNN", activations=["Affine"])), UnsupportedError, "Affine without alpha and beta"),
    "activations for one half of two": (
        lambda: from_onnx(one_node("RNN", "bidirectional", activations=["Tanh"])), UnsupportedError, "1 activations"),
    "an attribute of others": (lambda: from_onnx(one_node("GRU", cell_clip=1.0)), UnsupportedError, "cell_clip"),
    "an operator after it": (lambda: from_onnx(chain(node("Softmax", "Y"))), UnsupportedError, "the Softmax"),
    "scaled weights": (
        lambda: from_onnx(chain(node("Gemm", "Y_h", "M", alpha=2.0),
                                constants=[("M", np.ones((4, 2), np.float32))])), UnsupportedError, "the Gemm"),
    "another step": (
        lambda: from_onnx(chain(node("Gather", "Y", "i"), constants=[("i", np.array(2))])),
        UnsupportedError, "the Gather"),
    "a part of the input": (lambda: from_onnx(sliced()), UnsupportedError, "it reads a part of 'X'"),
    "no recurrent node": (
        lambda: from_onnx(helper.make_model(helper.make_graph(
            [node("Relu", "x")], "g", [helper.make_tensor_value_info("x", FLOAT, None)],
            [helper.make_tensor_value_info("z", FLOAT, None)]))), UnsupportedError, "Relu 'the Relu'"),
    "an initial state that differs from row to row": (
        lambda: from_onnx(with_input(5, "h0", np.arange(8, dtype=np.float32).reshape(1, 2, 4))), UnsupportedError,
        "numbers that differ from row to row"),
    "weights that are inputs": (
        lambda: from_onnx(chain(helper.make_node("GRU", ["X", "V", "R"], ["q"]), inputs=["V"])),
        UnsupportedError, "the input 'V'"),
    "an unknown precision": (lambda: written(cells.gru, precision="f16"), ArgumentError, "f16"),
    "an unknown precision of a step": (lambda: written_step("forward", precision="float32"), ArgumentError, "float32"),
    "a stream in reverse": (lambda: written_step("reverse"), UnsupportedError, "layers.0 'reverse'"),
    "no network": (lambda: to_onnx(None, {}, operators=False), ArgumentError, "NoneType"),
}  # fmt: skip


def written(cell, **options):
    net = Network(3, [Layer(cell, 4)])
    return to_onnx(net, net.init(0), **options)


def written_step(direction, **options):
    net = Network(3, [Layer(cells.gru, 4, direction)])
    return to_onnx_step(net, net.init(0), **options)


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    refuses(*REFUSED[name])


def test_layers_that_do_not_fit_are_refused():
    model = one_node("GRU")
    turn, join = node("Squeeze", "Y", "one", out="s"), helper.make_node("GRU", ["s", "W", "R"], ["z"], hidden_size=4)
    model.graph.node.extend([turn, join])
    model.graph.output[0].name = "z"
    del model.graph.output[1:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    text = r"W of forward of the layer of GRU 'z' must have the shape \(12, 4\), got shape \(12, 3\)"
    with pytest.raises(ShapeError, match=text):
        from_onnx(model)


def test_zeros_are_an_initial_state():
    zeros = np.zeros((1, 2, 4), np.float32)
    one, other = from_onnx(with_input(5, "h0", zeros)), from_onnx(one_node("GRU"))
    assert one.net == other.net
    same_params(one.params, other.params)
    assert tree_map(np.shape, one.params) == one.net.parameter_shapes()


def with_lengths(nodes, output, shape):
    """A model of recurrent nodes of ONNX, among whose inputs are the rows' lengths `L`."""
    rng = np.random.default_rng(0)
    weights = [onnx.numpy_helper.from_array(rng.uniform(-0.7, 0.7, size).astype(np.float32), name)
               for name, size in {"W0": (1, 16, 3), "R0": (1, 16, 4), "W1": (1, 16, 4), "R1": (1, 16, 4)}.items()]
    numbers = [onnx.numpy_helper.from_array(np.array(a), name)
               for name, a in {"one": [1], "last": -1, "zero": [0]}.items()]
    inputs = [helper.make_tensor_value_info("X", FLOAT, ("t", "n", 3)),
              helper.make_tensor_value_info("L", onnx.TensorProto.INT32, ("n",))]
    graph = helper.make_graph(nodes, "ragged", inputs, [helper.make_tensor_value_info(output, FLOAT, shape)],
                              [*weights, *numbers])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def layer_of(index, x, lengths, outputs):
    return helper.make_node("LSTM", [x, f"W{index}", f"R{index}", "", lengths], outputs, hidden_size=4)


def test_the_last_time_of_ragged_rows_is_no_last_step():
    nodes = [layer_of(0, "X", "L", ["Y"]), node("Squeeze", "Y", "one", out="S"), node("Gather", "S", "last", out="E")]
    with pytest.raises(UnsupportedError, match="Y_h selects the last step of each direction"):
        from_onnx(with_lengths(nodes, "E", ("n", 4)))
    ends = [layer_of(0, "X", "L", ["Y", "H"]), node("Squeeze", "H", "zero", out="E")]
    assert from_onnx(with_lengths(ends, "E", ("n", 4))).net.read == Last()


@pytest.mark.parametrize(("first", "second"), [("L", ""), ("", "L")])
def test_layers_whose_rows_end_at_different_lengths_are_refused(first, second):
    nodes = [layer_of(0, "X", first, ["Y"]), node("Squeeze", "Y", "one", out="S"), layer_of(1, "S", second, ["Z"])]
    with pytest.raises(UnsupportedError, match="the same sequence_lens"):
        from_onnx(with_lengths(nodes, "Z", ("t", 1, "n", 4)))


def test_a_ragged_stack_is_read_and_an_output_may_be_left_out():
    nodes = [layer_of(0, "X", "L", ["Y", "", "c"]), node("Squeeze", "Y", "one", out="S"), layer_of(1, "S", "L", ["Z"])]
    model = with_lengths(nodes, "Z", ("t", 1, "n", 4))
    found, lengths = from_onnx(model), np.array([6, 3, 1], np.int32)
    x = np.random.default_rng(1).normal(size=(6, 3, 3)).astype(np.float32)
    theirs = run(model, {"X": x, "L": lengths})["Z"][:, 0]
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, x, lengths=lengths).outputs
    np.testing.assert_allclose(ours, theirs, 0, 1e-6)


def test_halves_are_written_in_their_order_whatever_the_caller_s():
    case = Case(Network(3, [Layer(cells.gru, 4, "bidirectional")]), 4, 2)
    params = Question.of(case, "f32").params
    turned = {"layers": [dict(reversed(params["layers"][0].items()))]}
    assert to_onnx(case.net, turned).model == to_onnx(case.net, params).model


def test_a_flat_dict_of_parameters_is_refused():
    net = Network(3, [Layer(cells.gru, 4)])
    with pytest.raises(TreeError, match=r"must be a nested tree.*rnnspec\.load"):
        to_onnx(net, dict(leaves(net.init(0))))


def test_numbers_that_were_left_in_another_file_are_refused(tmp_path):
    path = tmp_path / "one.onnx"
    onnx.save(one_node("GRU"), path, save_as_external_data=True, location="numbers", size_threshold=0)
    with pytest.raises(ArgumentError, match="model must be valid, got"):
        from_onnx(onnx.load(path, load_external_data=False))
