"""Graphs of ONNX as people and exporters write them: what ONNX Runtime computes, and the network that is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Embedding, Last, Steps, Tied, cells
from rnnspec.convert import Note, from_onnx
from rnnspec.errors import ArgumentError, ShapeError, UnsupportedError

onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
helper, FLOAT, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
T, B, F, H = 5, 3, 4, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NUMPY = rnnspec.get_backend("numpy")


@dataclass
class Graph:
    """A graph that grows node by node; every method returns the name of a value."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list = field(default_factory=list)
    held: list = field(default_factory=list)

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names, name = [f"{kind.lower()}{len(self.nodes)}.{i}" for i in range(outputs)], f"the {kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names if outputs > 1 else names[0]

    def held_as(self, array):
        self.held.append(onnx.numpy_helper.from_array(np.asarray(array), f"held{len(self.held)}"))
        return self.held[-1].name

    def drawn(self, *shape):
        return self.held_as(self.rng.uniform(-0.7, 0.7, shape).astype(np.float32))

    def recurrent(self, kind, x, *more, inputs=F, hidden=H, directions=1, **attributes):
        gates = GATES[kind] * hidden
        weights = [self.drawn(directions, gates, n) for n in (inputs, hidden)]
        direction = {"direction": "bidirectional"} if directions == 2 else {}
        return self(kind, x, *weights, self.drawn(directions, 2 * gates), *more, outputs=3 if kind == "LSTM" else 2,
                    hidden_size=hidden, **direction | attributes)  # fmt: skip

    def layer(self, kind, x, **options):
        """The steps of one direction without the axis of directions."""
        return self("Squeeze", self.recurrent(kind, x, **options)[0], self.held_as([1]))

    def dense(self, x, inputs, outputs):
        return self("Add", self("MatMul", x, self.drawn(inputs, outputs)), self.drawn(outputs))

    def reverse(self, x, axis=0):
        return self("Slice", x, *(self.held_as([n]) for n in (-1, -(2**31), axis, -1)))

    def model(self, *outputs, inputs=(("x", FLOAT, ("t", "b", F)),)):
        infos = [helper.make_tensor_value_info(*each) for each in inputs]
        ends = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", infos, ends, self.held)
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8)


def run(model, **given):
    """What the operators compute one by one: ONNX Runtime's optimised graphs may round weights once more."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, given), strict=True))


def drawn(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def same(model, given=None, arrange=lambda y: y, **options):
    """The network read from a model computes its first output; `arrange` turns our outputs into the model's."""
    found = from_onnx(model, **options)
    x = drawn(T, B, F) if given is None else given
    name = (options.get("outputs") or [model.graph.output[0].name])[0]
    ours = NUMPY.run(found.net, found.params, x).outputs
    np.testing.assert_allclose(arrange(ours), run(model, x=x)[name], rtol=1e-4, atol=1e-5)
    return found


def noted(found):
    return {note.what for note in found.notes}


def bidirectional(g):
    forward, reverse = g.layer("LSTM", "x"), g.reverse(g.layer("LSTM", g.reverse("x")))
    return g.model(g("Concat", forward, reverse, axis=2))


def halves(g, steps, **join):
    """Both directions, one behind the other in `Y`, joined by Split and Concat."""
    parts = [g("Squeeze", part, g.held_as([1])) for part in g("Split", steps, outputs=2, axis=1)]
    return g("Concat", *parts, axis=-1)


def directions(g, kind):
    """The steps of each direction of a node."""
    steps = g.recurrent(kind, "x", directions=2)[0]
    return [g("Gather", steps, g.held_as(d), axis=1) for d in (0, 1)]


def joined(g, x, sizes, **options):
    turned = g("Transpose", g.recurrent("GRU", x, directions=2, **options)[0], perm=[0, 2, 1, 3])
    return g("Reshape", turned, sizes, allowzero=1)


def sizes_from_shape(g):
    ends = [g("Shape", "x", start=i, end=i + 1) for i in (0, 1)]
    return g("Concat", *ends, g.held_as([2 * H]), axis=0)


def around(g, x, make):
    """What stands between a Reshape to (time * batch, features) and one back."""
    flat = g("Reshape", x, g.held_as([-1, H]))
    ends = [g("Shape", "x", start=i, end=i + 1) for i in (0, 1)]
    return g("Reshape", make(flat), g("Concat", *ends, g.held_as([2]), axis=0))


def gelu(g, x):
    inner = g("Add", g("Erf", g("Div", x, g.held_as(np.float32(2**0.5)))), g.held_as(np.float32(1)))
    return g("Mul", g("Mul", x, inner), g.held_as(np.float32(0.5)))


def doubled(g, x, times):
    """x + tanh(x), so many times."""
    for _ in range(times):
        x = g("Add", x, g("Tanh", x))
    return x


def layer_norm(g, x):
    """A layer normalisation as it was written before ONNX had one."""
    centred = g("Sub", x, g("ReduceMean", x, axes=[-1]))
    variance = g("ReduceMean", g("Pow", centred, g.held_as(np.float32(2))), axes=[-1])
    deviation = g("Sqrt", g("Add", variance, g.held_as(np.float32(0.5))))
    return g("Add", g("Mul", g("Div", centred, deviation), g.drawn(H)), g.drawn(H))


def class_numbers(g):
    """Class numbers as tf2onnx gives them to a lookup: negative ones count from the end."""
    below = g("Less", "x", g.held_as(np.int64(0)))
    parts = [g("Mul", g("Cast", some, to=INT64), number) for some, number in (
        (below, g("Add", "x", g.held_as(np.int64(9)))), (g("Not", below), "x"))]  # fmt: skip
    return g("Add", *parts)


def batch_norm(g, x, width):
    last = g("Transpose", x, perm=[1, 2, 0])
    held = [g.held_as(np.abs(g.rng.normal(size=width)).astype(np.float32) + 0.5) for _ in range(4)]
    return g("Transpose", g("BatchNormalization", last, *held), perm=[2, 0, 1])


def branch(g, condition):
    """An LSTM in a branch of an If."""
    outer, g.nodes = g.nodes, []
    steps = g.recurrent("LSTM", "x")[0]
    inner, g.nodes = g.nodes, outer
    other = [helper.make_node("Identity", ["x"], ["alone"], name="alone")]
    then, alone = (helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, FLOAT, None)])
                   for nodes, name in ((inner, steps), (other, "alone")))  # fmt: skip
    return g("If", condition, then_branch=then, else_branch=alone)


GRAPHS = {
    "two nodes, one on reversed steps": (bidirectional, [cells.lstm], Steps(), None),
    "one node on reversed steps": (
        lambda g: g.model(g.reverse(g.layer("GRU", g.reverse("x")))), [cells.gru_reset_before], Steps(), None),
    "a reverse node on reversed steps": (
        lambda g: g.model(g.reverse(g.layer("RNN", g.reverse("x"), direction="reverse"))),
        [cells.elman], Steps(), None),
    "directions by Split and Concat": (
        lambda g: g.model(halves(g, g.recurrent("LSTM", "x", directions=2)[0])), [cells.lstm], Steps(), None),
    "directions joined by fixed sizes": (
        lambda g: g.model(joined(g, "x", g.held_as([T, B, 2 * H]))), [cells.gru_reset_before], Steps(), None),
    "directions joined by sizes of Shape": (
        lambda g: g.model(joined(g, "x", sizes_from_shape(g))), [cells.gru_reset_before], Steps(), None),
    "directions in the other order, and a map": (
        lambda g: g.model(g.dense(g("Concat", *directions(g, "LSTM")[::-1], axis=2), 2 * H, 2)),
        [cells.lstm], Steps(), Dense(2)),
    "the sum of directions": (
        lambda g: g.model(g("Add", *directions(g, "LSTM"))), [cells.lstm], Steps(), Dense(H)),
    "the last step by Slice": (
        lambda g: g.model(g("Squeeze", g("Slice", g.layer("GRU", "x"), *(g.held_as([n]) for n in (-1, 2**40, 0))),
                            g.held_as([0]))), [cells.gru_reset_before], Last(), None),
    "the last time of both directions": (
        lambda g: g.model(g("Gather", joined(g, "x", sizes_from_shape(g)), g.held_as(-1), axis=0)),
        [cells.gru_reset_before, "same"], Last(), None),
    "a dense layer around which arrays are flat": (
        lambda g: g.model(around(g, g.layer("LSTM", "x"), lambda y: g.dense(y, H, 2))),
        [cells.lstm], Steps(), Dense(2)),
    "dense layers before and after": (
        lambda g: g.model(g.dense(g("Relu", g.dense(g.layer("LSTM", g("Tanh", g.dense("x", F, 5)), inputs=5), H, 7)),
                                  7, 2)), ["dense", cells.lstm, "dense"], Steps(), Dense(2)),
    "a dense layer that ends in Relu": (
        lambda g: g.model(g("Relu", g.dense(g.layer("LSTM", "x"), H, 2))), [cells.lstm, "dense"], Steps(), None),
    "SiLU written out": (
        lambda g: g.model(g.dense(g("Mul", y, g("Sigmoid", y)), 5, 2) if (y := g.dense(g.layer("LSTM", "x"), H, 5))
                          else None), [cells.lstm, "dense"], Steps(), Dense(2)),
    "a function that is added to its argument, again and again": (
        lambda g: g.model(g.dense(doubled(g, g.dense(g.layer("LSTM", "x"), H, 5), 12), 5, 2)), [cells.lstm, "dense"],
        Steps(), Dense(2)),
    "GELU written out": (
        lambda g: g.model(g.dense(gelu(g, g.dense(g.layer("LSTM", "x"), H, 5)), 5, 2)), [cells.lstm, "dense"], Steps(),
        Dense(2)),
    "Clip, LeakyRelu and PRelu between layers": (
        lambda g: g.model(g("PRelu", g("LeakyRelu", g("Clip", g.layer("GRU", "x"), g.held_as(np.float32(-0.2)), ""),
                                       alpha=0.3), g.held_as(np.float32([0.1])))),
        [cells.gru_reset_before, "prelu"], Steps(), None),
    "a layer normalisation": (
        lambda g: g.model(g.layer("LSTM", g("LayerNormalization", g.layer("GRU", "x"), g.drawn(H), g.drawn(H),
                                            epsilon=1e-3), inputs=H)),
        [cells.gru_reset_before, "layer_norm", cells.lstm], Steps(), None),
    "a layer normalisation written out": (
        lambda g: g.model(layer_norm(g, g.layer("GRU", "x"))), [cells.gru_reset_before, cells.layer_norm(epsilon=0.5)],
        Steps(), None),
    "a batch normalisation before and after": (
        lambda g: g.model(g.dense(batch_norm(g, g.layer("LSTM", batch_norm(g, "x", F)), H), H, 2)), [cells.lstm],
        Steps(), Dense(2)),
    "a residual layer": (
        lambda g: g.model(g("Add", y, g.layer("LSTM", y, inputs=H)) if (y := g.layer("GRU", "x")) else None),
        [cells.gru_reset_before, cells.lstm], Steps(), None),
    "a convolution of one step": (
        lambda g: g.model(g("Transpose", g("Conv", g("Transpose", g.layer("GRU", "x"), perm=[1, 2, 0]),
                                           g.drawn(2, H, 1), g.drawn(2)), perm=[2, 0, 1])),
        [cells.gru_reset_before], Steps(), Dense(2)),
    "Dropout, Identity and Cast": (
        lambda g: g.model(g("Cast", g("Identity", g("Dropout", g.layer("LSTM", "x"))), to=FLOAT)),
        [cells.lstm], Steps(), None),
    "a branch that numbers choose": (
        lambda g: g.model(g("Squeeze", branch(g, g.held_as(np.array(True))), g.held_as([1]))), [cells.lstm], Steps(),
        None),
    "learned initial states": (
        lambda g: g.model(g("Squeeze", g.recurrent("GRU", "x", "", g("Expand", g.drawn(1, 1, H), g(
            "Concat", g.held_as([1]), g("Shape", "x", start=1, end=2), g.held_as([H]), axis=0)))[0], g.held_as([1]))),
        [cells.gru_reset_before], Steps(), None),
}  # fmt: skip
"""Each graph with the cells of its layers and its head, what it reads, and its output layer."""


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_the_network_read_from_it(name):
    make, layers, read, output = GRAPHS[name]
    found = same(make(Graph()))
    parts = [layer.cell for layer in (*found.net.layers, *found.net.head)]
    named = [cell.name if isinstance(own, str) else cell for cell, own in zip(parts, layers, strict=True)]
    assert named == layers
    assert (found.net.read, found.net.output) == (read, output)


ENDINGS = {
    "Sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    "Softmax": lambda y: np.exp(y) / np.exp(y).sum(-1, keepdims=True),
    "LogSoftmax": lambda y: y - np.log(np.exp(y).sum(-1, keepdims=True)),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_the_last_activation_is_told_and_left_to_the_caller(kind):
    g = Graph()
    options = {} if kind == "Sigmoid" else {"axis": -1}
    found = same(g.model(g(kind, g.dense(g.layer("LSTM", "x"), H, 2), **options)), arrange=ENDINGS[kind])
    (note,) = [note for note in found.notes if note.what is Note.ACTIVATION]
    assert note.place == "output" and kind in note.detail


def test_class_numbers_are_looked_up_and_a_table_may_be_tied():
    for tied in (False, True):
        g = Graph()
        table, numbers = g.drawn(9, F), class_numbers(g) if tied else "x"
        steps = g.layer("LSTM", g("Gather", table, g("Transpose", numbers, perm=[1, 0])), hidden=F)
        weight = g("Transpose", table if tied else g.drawn(9, F))
        model = g.model(g("Add", g("MatMul", steps, weight), g.drawn(9)), inputs=[("x", INT64, ("b", "t"))])
        numbers = np.random.default_rng(0).integers(0, 9, (T, B))
        found = from_onnx(model)
        assert found.net.inputs == Embedding(9, F) and found.net.output == (Tied() if tied else Dense(9))
        assert Note.BATCH_FIRST in noted(found)
        ours = NUMPY.run(found.net, found.params, numbers).outputs
        np.testing.assert_allclose(ours, next(iter(run(model, x=numbers.T).values())), rtol=1e-4, atol=1e-5)


VARIANTS = [
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1], "clip": 0.4}),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.5], "activation_beta": [1.2]}),
    ("RNN", {"activations": ["LeakyRelu"]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("GRU", {"activations": ["HardSigmoid", "Softsign"], "linear_before_reset": 1}),
    ("GRU", {"activations": ["Sigmoid", "Elu"], "clip": 0.5}),
    ("GRU", {"activations": ["HardSigmoid", "Softplus"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("RNN", {"activations": ["Tanh"], "reverse": ["Relu"]}),
    ("GRU", {"activations": ["Sigmoid", "Elu"], "reverse": ["HardSigmoid", "Tanh"], "linear_before_reset": 1}),
    ("LSTM", {"activations": ["Sigmoid", "Tanh", "Tanh"], "reverse": ["Sigmoid", "Softsign", "Relu"]}),
    ("LSTM", {"clip": 0.3, "input_forget": 1}),
    ("LSTM", {"activations": ["HardSigmoid", "Relu", "Softsign"], "clip": 0.5}),
    ("LSTM", {"activations": ["Sigmoid", "Elu", "LeakyRelu"], "activation_alpha": [0.7, 0.2]}),
]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("lengths", [None, (5, 2, 1)])
@pytest.mark.parametrize("index", range(len(VARIANTS)))
def test_a_node_of_any_attributes_is_the_cell_made_for_it(index, lengths, directions):
    kind, attributes = VARIANTS[index]
    g = Graph(np.random.default_rng(index))
    more = ["n" if lengths else "", "h", *(["c", g.drawn(directions, 3 * H)] if kind == "LSTM" and index % 2 else
                                           ["c"] if kind == "LSTM" else [])]  # fmt: skip
    own = {name: value * directions if isinstance(value, list) else value for name, value in attributes.items()}
    if reverse := own.pop("reverse", None):
        own["activations"] = (attributes["activations"] + reverse)[: len(own["activations"])]
    outputs = g.recurrent(kind, "x", *more, directions=directions, **own)
    inputs = [("x", FLOAT, ("t", "b", F)), *((s, FLOAT, (directions, "b", H)) for s in more[1:3] if s in ("h", "c"))]
    model = g.model(*outputs, inputs=[*inputs, *([("n", onnx.TensorProto.INT32, ("b",))] if lengths else [])])
    found, x = from_onnx(model), drawn(T, B, F)
    states = {s: np.random.default_rng(2).normal(size=(directions, B, H)).astype(np.float32) for s in more[1:3]
              if s in ("h", "c")}  # fmt: skip
    given = {"x": x} | states | ({"n": np.array(lengths, np.int32)} if lengths else {})
    theirs, (layer,) = list(run(model, **given).values()), found.net.layers
    state = [{half: {s: states[s][i] for s in layer.cell.states} for i, half in enumerate(layer.halves)}]
    ran = NUMPY.run(found.net, found.params, x, state, None if lengths is None else np.array(lengths))
    expected = np.concatenate(list(theirs[0].swapaxes(0, 1)), -1)
    real = np.arange(T)[:, None] < np.array(lengths or [T] * B)
    np.testing.assert_allclose(ran.outputs, np.where(real[..., None], expected, 0), rtol=1e-4, atol=1e-5)
    for s, end in zip(layer.cell.states, theirs[1:], strict=True):
        np.testing.assert_allclose(np.stack([ran.state[0][half][s] for half in layer.halves]), end, 1e-4, 1e-5)
    assert {Note.STATES} | ({Note.LENGTHS} if lengths else set()) <= noted(found)


def test_steps_reversed_within_lengths_are_a_reverse_layer():
    g = Graph()
    turned = g("ReverseSequence", "x", g("Cast", "n", to=INT64), time_axis=0, batch_axis=1)
    steps = g("Squeeze", g.recurrent("LSTM", turned, "n")[0], g.held_as([1]))
    back = g("ReverseSequence", steps, g("Cast", "n", to=INT64), time_axis=0, batch_axis=1)
    model = g.model(back, inputs=[("x", FLOAT, ("t", "b", F)), ("n", onnx.TensorProto.INT32, ("b",))])
    found, x, lengths = from_onnx(model), drawn(T, B, F), np.array([5, 2, 4], np.int32)
    assert found.net.layers[0].direction == "reverse"
    ours = NUMPY.run(found.net, found.params, x, lengths=lengths).outputs
    np.testing.assert_allclose(ours, run(model, x=x, n=lengths)[back], rtol=1e-4, atol=1e-5)


def test_lengths_that_are_numbers_are_told_unless_they_are_all_steps():
    for numbers, expected in (([T] * B, set()), ([2, 5, 1], {Note.FIXED_LENGTHS})):
        g = Graph()
        steps = g.recurrent("LSTM", "x", g.held_as(np.array(numbers, np.int32)))[0]
        model = g.model(g("Squeeze", steps, g.held_as([1])), inputs=[("x", FLOAT, (T, B, F))])
        found = from_onnx(model)
        assert noted(found) & {Note.FIXED_LENGTHS, Note.LENGTHS} == expected
        x = drawn(T, B, F)
        ours = NUMPY.run(found.net, found.params, x, lengths=np.array(numbers)).outputs
        np.testing.assert_allclose(ours, next(iter(run(model, x=x).values())), rtol=1e-4, atol=1e-5)


def test_a_direction_that_nothing_reads_is_left_out_and_told():
    g = Graph()
    found = same(g.model(g("Gather", g.recurrent("GRU", "x", directions=2)[0], g.held_as(1), axis=1)))
    assert found.net.layers[0].direction == "reverse" and Note.UNUSED in noted(found)


def test_arrays_in_another_order_are_told():
    g = Graph()
    steps = g("Transpose", g.layer("LSTM", g("Transpose", "x", perm=[2, 0, 1])), perm=[1, 2, 0])
    found = from_onnx(g.model(steps, inputs=[("x", FLOAT, ("b", F, "t"))]))
    (first, second) = [note.detail for note in found.notes if note.what is Note.AXES]
    assert (first, second) == ("x (batch, feature, time)", "the output (batch, feature, time)")
    g = Graph()
    flat = g("Squeeze", g.layer("LSTM", g("Unsqueeze", "x", g.held_as([1]))), g.held_as([1]))
    assert Note.ONE_ROW in noted(from_onnx(g.model(flat, inputs=[("x", FLOAT, ("t", F))])))
    assert Note.BATCH_FIRST in noted(from_onnx(one_row_first()))


def one_row_first():
    """A model of one row that stands before time."""
    g = Graph()
    steps = g("Transpose", g.layer("LSTM", g("Transpose", "x", perm=[1, 0, 2])), perm=[1, 0, 2])
    return g.model(steps, inputs=[("x", FLOAT, (1, "t", F))])


def test_a_length_that_a_reshape_has_as_a_number_is_that_of_the_input():
    g = Graph()
    turned = g("Transpose", g.recurrent("LSTM", "x", directions=2)[0], perm=[0, 2, 1, 3])
    same(g.model(g("Reshape", turned, g("Concat", g.held_as([T]), g("Shape", "x", start=1, end=2), g.held_as([2 * H]),
                                        axis=0), allowzero=1)))  # fmt: skip


def front(g):
    """A convolution over three steps, an LSTM whose zeros have its sizes, and an output that pools over time."""
    convolved = g("Relu", g("Conv", g("Transpose", "x", perm=[1, 2, 0]), g.drawn(8, F, 3), pads=[1, 1]))
    turned = g("Transpose", convolved, perm=[2, 0, 1])
    sizes = g("Concat", g.held_as([1]), g("Shape", convolved, start=0, end=1), g.held_as([H]), axis=0)
    zeros = g("ConstantOfShape", sizes)
    steps = g("Squeeze", g.recurrent("LSTM", turned, "", zeros, zeros, inputs=8)[0], g.held_as([1]))
    return g.model(g("ReduceMean", g.dense(steps, H, 2), axes=[0]))


def two_outputs(g):
    steps = g.layer("LSTM", "x")
    return g.model(g.dense(steps, H, 2), g.dense(steps, H, 3))


def unknown_condition(g):
    return g.model(g("Squeeze", branch(g, "on"), g.held_as([1])),
                   inputs=[("x", FLOAT, ("t", "b", F)), ("on", onnx.TensorProto.BOOL, ())])  # fmt: skip


CUTS = {
    "a front and an end": (front, "Conv 'the Conv 1': it computes a step from several"),
    "two outputs": (two_outputs, "'add3.0', 'add5.0'"),
    "a branch that an input chooses": (unknown_condition, "If 'the If 0', whose graph holds LSTM 'the LSTM 0'"),
    "a pooling over time": (
        lambda g: g.model(g("ReduceMax", g.layer("GRU", "x"), axes=[0])), "ReduceMax 'the ReduceMax 2'"),
    "a part of the steps": (
        lambda g: g.model(g.layer("LSTM", g("Slice", "x", *(g.held_as([n]) for n in (0, 2, 0))))),
        "it reads a part of 'x'"),
    "a function of the input": (
        lambda g: g.model(g.layer("LSTM", g("Tanh", "x"))), "Tanh 'the Tanh 0': it computes on an input"),
    "two nodes side by side": (
        lambda g: g.model(g("Concat", g.layer("LSTM", "x"), g.layer("GRU", "x"), axis=2)),
        "GRU 'the GRU 2': it runs forward and forward beside LSTM 'the LSTM 0'"),
    "directions of two operators": (
        lambda g: g.model(g("Concat", g.layer("LSTM", "x"), g.layer("GRU", "x", direction="reverse"), axis=2)),
        "GRU 'the GRU 2': it differs from LSTM 'the LSTM 0'"),
    "a residual sum around two layers": (
        lambda g: g.model(g("Add", y, g.layer("LSTM", g.layer("LSTM", y, inputs=H), inputs=H))
                          if (y := g.layer("GRU", "x")) else None), "LSTM 'the LSTM 4': its inputs are added"),
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
def test_the_first_operator_that_is_not_read_is_named_with_a_call_that_reads_a_part(name):
    make, evidence = CUTS[name]
    model = make(Graph())
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(model)
    assert evidence in caught.value.got
    (call,) = re.findall(r"from_onnx\(model.*\)", caught.value.do)
    assert eval(call, {"from_onnx": from_onnx, "model": model}).net.layers


@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_a_loop_is_named_with_what_it_holds(kind):
    g, inner = Graph(), Graph()
    inner.nodes = [helper.make_node("Add", ["h", "x_t"], ["a"]), helper.make_node("Tanh", ["a"], ["new"]),
                   helper.make_node("Identity", ["new"], ["y"])]  # fmt: skip
    names = [("h", (B, F)), ("x_t", (B, F))]
    body = helper.make_graph(inner.nodes, "body", [helper.make_tensor_value_info(n, FLOAT, s) for n, s in names],
                             [helper.make_tensor_value_info(n, FLOAT, (B, F)) for n in ("new", "y")])  # fmt: skip
    more = {"num_scan_inputs": 1} if kind == "Scan" else {}
    _, steps = g(kind, g.held_as(np.zeros((B, F), np.float32)), "x", outputs=2, body=body, **more)
    with pytest.raises(UnsupportedError, match=f"{kind} 'the {kind} 0', whose graph holds Add, Tanh, Identity"):
        from_onnx(g.model(steps))


INITIAL = {
    "a part of the steps": lambda g: g("Unsqueeze", g("Gather", "x", g.held_as(0), axis=0), g.held_as([0])),
    "the state of another layer": lambda g: g.recurrent("LSTM", "x", inputs=H)[1],
    "something computed": lambda g: g("ReduceMean", "x", axes=[0]),
}


@pytest.mark.parametrize("name", INITIAL)
def test_an_initial_state_that_is_made_from_something_is_refused(name):
    g = Graph()
    outputs = g.recurrent("LSTM", "x", "", INITIAL[name](g), inputs=H)
    with pytest.raises(UnsupportedError, match="initial_h must be an input of its own"):
        from_onnx(g.model(outputs[0], inputs=[("x", FLOAT, ("t", "b", H))]))


def quantised(array):
    scale = np.abs(array).max() / 127
    return np.round(array / scale).astype(np.int8), np.float32(scale)


def test_quantised_weights_are_read_where_they_are_asked_for():
    g = Graph()
    (w, ws), (r, rs), (d, ds) = (quantised(g.rng.normal(size=s)) for s in ((1, F, 4 * H), (1, H, 4 * H), (H, 2)))
    held = [g.held_as(a) for a in (w, r)]
    scales = [g.held_as(a) for a in (np.array([ws]), np.zeros(1, np.int8), np.array([rs]), np.zeros(1, np.int8))]
    steps = g("DynamicQuantizeLSTM", "x", *held, g.drawn(1, 8 * H), "", "", "", "", *scales, hidden_size=H,
              domain="com.microsoft")  # fmt: skip
    steps = g("Squeeze", steps, g.held_as([1]))
    whole, scale, zero = g("DynamicQuantizeLinear", steps, outputs=3)
    product = g("Cast", g("MatMulInteger", whole, g.held_as(d), zero, g.held_as(np.int8(0))), to=FLOAT)
    model = g.model(g("Mul", product, g("Mul", scale, g.held_as(ds))))
    with pytest.raises(UnsupportedError, match=r"DynamicQuantizeLSTM.*quantised.*take the float model"):
        from_onnx(model)
    found, x = from_onnx(model, dequantise=True), drawn(T, B, F)
    assert Note.QUANTISED in noted(found) and found.net.output == Dense(2)
    ours = NUMPY.run(found.net, found.params, x).outputs
    assert np.abs(ours - next(iter(run(model, x=x).values()))).max() < 0.02 * np.abs(ours).max()
    np.testing.assert_allclose(found.params["layers"][0]["forward"]["W"]["i"], w[0, :, :H].T * ws)


def test_weights_that_dequantise_are_quantised():
    g = Graph()
    whole, scale = quantised(g.rng.normal(size=(H, 2)))
    weight = g("DequantizeLinear", g.held_as(whole), g.held_as(scale))
    model = g.model(g("MatMul", g.layer("LSTM", "x"), weight))
    with pytest.raises(UnsupportedError, match=r"MatMul.*quantised"):
        from_onnx(model)
    assert Note.QUANTISED in noted(same(model, dequantise=True))


def test_a_model_is_a_path_or_bytes_too_and_its_functions_are_written_out(tmp_path):
    g = Graph()
    plain = g.model(g.layer("LSTM", "x"))
    onnx.save(plain, tmp_path / "one.onnx")
    net, data = from_onnx(plain).net, plain.SerializeToString()
    with pytest.raises(ArgumentError, match="inputs must be a list of names"):
        from_onnx(plain, inputs="x")
    onnx.save(plain, tmp_path / "outside.onnx", save_as_external_data=True, size_threshold=0, location="tensors")
    for model in (tmp_path / "one.onnx", str(tmp_path / "outside.onnx"), data):
        assert from_onnx(model).net == net
    with pytest.raises(ArgumentError, match="'held0' in a file of its own"):
        from_onnx(plain)
    with pytest.raises(ArgumentError, match="FileNotFoundError"):
        from_onnx(tmp_path / "none.onnx")
    inner = helper.make_function("own", "Twice", ["a"], ["c"], [helper.make_node("Tanh", ["a"], ["b"]),
                                                               helper.make_node("Relu", ["b"], ["c"])],
                                 [helper.make_opsetid("", 17)])  # fmt: skip
    g = Graph()
    model = g.model(g("Twice", g.layer("LSTM", "x"), domain="own"))
    model.functions.append(inner)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert [layer.cell.name for layer in same(model).net.head] == ["relu"]


def test_names_that_the_graph_does_not_have_are_refused():
    g = Graph()
    model = g.model(g.layer("LSTM", "x"))
    with pytest.raises(ArgumentError, match=r"outputs must be values of the graph, got 'squeeze4'"):
        from_onnx(model, outputs=["squeeze4"])
    with pytest.raises(UnsupportedError, match=r"'x', which is an input or a part of one"):
        from_onnx(model, outputs=["x"])


def test_an_input_of_another_width_than_its_map_is_refused():
    g = Graph()
    with pytest.raises(ShapeError, match="x must have the features that the graph reads of it, 4"):
        from_onnx(g.model(g.layer("LSTM", "x"), inputs=[("x", FLOAT, ("t", "b", 9))]))
