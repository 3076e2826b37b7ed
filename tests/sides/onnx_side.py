"""ONNX: models run in ONNX Runtime, in float32, the only precision that it has; it has no gradients."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import Answer, Sizes, networks, stacks
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper, numpy_helper

from rnnspec import Last
from rnnspec.convert import Note, from_onnx, to_onnx
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import ONNX
from sides import Options

runtime = pytest.importorskip("onnxruntime")

TABLE, PRECISION, DIRECTIONS = ONNX, "f32", ("forward", "reverse", "bidirectional")
SIZES = BUILT_SIZES = Sizes(shortest=1)
"""What ONNX Runtime gives for a row of length 0 is not promised."""
read = from_onnx
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def write(net, params):
    return to_onnx(net, params, lengths=True, state=True)


def writable(row):
    return stacks(row, TABLE, DIRECTIONS, SIZES)


def buildable(row):
    return networks([row.cell], DIRECTIONS, SIZES)


def options(row):
    return st.builds(Options, st.booleans())


def ask(model, question):
    net, g = question.net, question.given
    rows = [layout_for(ONNX, layer.cell) for layer in net.layers]
    names = {(i, name): f"state.{i}.{name}" for i, row in enumerate(rows) for name in row.states}
    given = {"inputs": g.inputs, "lengths": full(g)} | stacked(net, g.state, names)
    found = run(model, given)
    return answer(net, g, found["outputs"], {key: found[f"final.{name}"] for key, name in names.items()})


def run(model, given):
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, given), strict=True))


def full(given):
    steps, batch, _ = given.inputs.shape
    return np.full(batch, steps, np.int32) if given.lengths is None else given.lengths.astype(np.int32)


def stacked(net, state, names):
    """The states of a network as the inputs of a model: halves side by side."""
    return {key: np.stack([state[i][half][name] for half in net.layers[i].halves]) for (i, name), key in names.items()}


def answer(net, given, outputs, final):
    state = [{half: {name: final[i, name][k] for name in layer.cell.states} for k, half in enumerate(layer.halves)}
             for i, layer in enumerate(net.layers)]  # fmt: skip
    real = np.arange(len(given.inputs))[:, None] < full(given)
    return Answer(outputs if isinstance(net.read, Last) else np.where(real[..., None], outputs, np.float32(0)), state)


class Graph:
    """Nodes that grow one after the other, with their constants."""

    def __init__(self, seed):
        self.rng, self.nodes, self.constants = np.random.default_rng(seed), [], []

    def node(self, kind, inputs, outputs=1, **attributes):
        names = [f"{kind}{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(array, f"constant{len(self.constants)}"))
        return self.constants[-1].name

    def drawn(self, *shape):
        return self.constant(self.rng.uniform(-0.7, 0.7, shape).astype(np.float32))

    def model(self, inputs, outputs):
        infos = [[helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in infos]
                 for infos in (inputs, [(name, TensorProto.FLOAT, None) for name in outputs])]  # fmt: skip
        graph = helper.make_graph(self.nodes, "theirs", *infos, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def built(case, row, options):
    """A stack of nodes, joined as one would by hand: Squeeze or Concat, and Gemm where the last step is read."""
    net, graph, values, finals = case.net, Graph(case.seed), "X", []
    ends, last = "n" if case.lengths else "", isinstance(net.read, Last)
    inputs = [("X", TensorProto.FLOAT, (None, None, net.inputs))]
    inputs += [("n", TensorProto.INT32, (None,))] if ends else []
    for i, layer in enumerate(net.layers):
        names = [f"{name}{i}" for name in layer.cell.states]
        inputs += [(name, TensorProto.FLOAT, (len(layer.halves), None, layer.half_width)) for name in names]
        steps, *final = recurrent(graph, row, layer, net.layer_inputs(i), options, [values, ends, *names])
        values = joined(graph, layer, final[0] if last and i == len(net.layers) - 1 else steps)
        finals += final
    if net.output:
        values = head(graph, net, values, options)
    model = graph.model(inputs, [values, *finals])
    notes = {Note.SUMMED_BIASES if options.bias else Note.NO_BIAS, Note.STATES} | ({Note.LENGTHS} if ends else set())
    return model, from_onnx(model), notes


def recurrent(graph, row, layer, inputs, options, given):
    d, width, gates = len(layer.halves), layer.half_width, GATES[row.kind]
    weights = [graph.drawn(d, gates * width, inputs), graph.drawn(d, gates * width, width)]
    bias = graph.drawn(d, 2 * gates * width) if options.bias else ""
    peepholes = [graph.drawn(d, 3 * width)] if "P" in row.tensors else []
    values, ends, *first = given
    chosen = {name: list(value) * d if isinstance(value, tuple) else value for name, value in row.options.items()}
    return graph.node(row.kind, [values, *weights, bias, ends, *first, *peepholes], 1 + len(first), hidden_size=width,
                      direction=layer.direction, **chosen)  # fmt: skip


def joined(graph, layer, values):
    """Halves side by side, where there are two."""
    axis = 0 if "_1" in values else 1
    if len(layer.halves) == 1:
        return graph.node("Squeeze", [values, graph.constant(np.array([axis]))])
    parts = [graph.node("Gather", [values, graph.constant(np.array(k))], axis=axis) for k in (0, 1)]
    return graph.node("Concat", parts, axis=-1)


def head(graph, net, values, options):
    width, bias = net.layers[-1].width, [graph.drawn(net.features)] if options.bias else []
    if isinstance(net.read, Last):
        return graph.node("Gemm", [values, graph.drawn(net.features, width), *bias], transB=1)
    product = graph.node("MatMul", [values, graph.drawn(width, net.features)])
    return graph.node("Add", [product, *bias]) if bias else product


def ask_built(model, question, row, options):
    net, g = question.net, question.given
    names = {(i, name): f"{name}{i}" for i, layer in enumerate(net.layers) for name in layer.cell.states}
    given = {"X": g.inputs} | ({} if g.lengths is None else {"n": full(g)}) | stacked(net, g.state, names)
    outputs, *final = run(model, given).values()
    return answer(net, g, outputs, dict(zip(names, final, strict=True)))


def options_of(kind):
    return set(defs.get_schema(kind).attributes)


def part(kind, chosen):
    """A node as it is, of one direction; activations that no table has, where others are asked for."""
    width, gates, graph = chosen.get("hidden_size", 4), GATES[kind], Graph(0)
    usual = {"RNN": ["Elu"], "LSTM": ["Elu", "Tanh", "Softsign"], "GRU": ["Elu", "Tanh"]}
    others = {"activations": usual[kind], "activation_alpha": [0.5], "activation_beta": [0.5]}
    chosen = {name: others.get(name, value) for name, value in chosen.items()}
    if "activation_beta" in chosen or "activation_alpha" in chosen:
        chosen |= {"activations": ["HardSigmoid", *usual[kind][1:]]}
    weights = [graph.drawn(1, gates * width, 3), graph.drawn(1, gates * width, width)]
    out, _ = graph.node(kind, ["X", *weights], 2, **{"hidden_size": width} | chosen)
    return from_onnx(graph.model([("X", TensorProto.FLOAT, (None, None, 3))], [out]))
