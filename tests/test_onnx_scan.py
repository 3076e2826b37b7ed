"""ONNX models with a Scan: every cell of the gallery, in ONNX Runtime and in the reference of ONNX."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from conversions import Answer, Question, noted, same_params

import rnnspec
from conformance.cases import PUBLISHED, Case, hidden_for
from rnnspec import Dense, Dropout, Embedding, Last, Layer, LayerNorm, Network, RMSNorm, Steps, Tied, cell, cells, out
from rnnspec.contract.capabilities import DTYPES
from rnnspec.convert import Note, from_onnx, to_onnx, to_onnx_step
from rnnspec.convert.onnx_scan.arrays import OnnxArrays
from rnnspec.convert.onnx_scan.graph import Dim, Graph
from rnnspec.errors import ArgumentError, FileFormatError, ShapeError, UnsupportedError
from rnnspec.losses import Loss, SquaredError
from rnnspec.noise import WeightDrop, Zoneout
from rnnspec.policies import Truncated
from rnnspec.primitives import (
    cos,
    erf,
    exp,
    log,
    logsumexp,
    maximum,
    mean,
    minimum,
    number,
    outer,
    relu,
    remainder,
    sigmoid,
    sin,
    softplus,
    sqrt,
    stop,
    tanh,
    total,
    where,
    width,
)
from rnnspec.tree import leaves, tree_map

onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
reference = pytest.importorskip("onnx.reference")

ERRORS_ONLY = 3


def by_runtime(model):
    options = runtime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [o.name for o in session.get_outputs()], session.run


def by_reference(model):
    found = reference.ReferenceEvaluator(model)
    return found.output_names, found.run


ENGINES = {"ONNX Runtime": by_runtime, "the reference": by_reference}


def called(engine, model, given):
    names, run = ENGINES[engine](model)
    with np.errstate(all="ignore"):
        return dict(zip(names, run(None, given), strict=True))


def stacked(net, state):
    return {f"state.{i}.{name}": np.stack([state[i][half][name] for half in layer.halves])
            for i, layer in enumerate(net.layers) for name in layer.cell.states}  # fmt: skip


def apart(net, found):
    return [{half: {name: found[f"final.state.{i}.{name}"][k] for name in layer.cell.states}
             for k, half in enumerate(layer.halves)} for i, layer in enumerate(net.layers)]  # fmt: skip


def agrees(case, precision, engine, **options):
    """The model of a case gives what NumPy's backend gives, and NaN or no class at padded steps has no effect."""
    question = Question.of(case, precision)
    g, net = question.given, case.net
    model = to_onnx(net, g.params, lengths=True, state=True, precision=precision, **options).model
    ends = np.full(case.batch, case.steps) if g.lengths is None else g.lengths
    padded = np.arange(case.steps)[:, None] >= ends
    none = np.float32("nan") if g.inputs.ndim == 3 else 99
    inputs = np.where(padded.reshape(*padded.shape, *[1] * (g.inputs.ndim - 2)), none, g.inputs)
    given = {"inputs": inputs.astype(g.inputs.dtype if g.inputs.ndim == 3 else np.int64),
             "lengths": ends.astype(np.int32)} | stacked(net, g.state)  # fmt: skip
    found = called(engine, model, given)
    assert {a.dtype.name for a in found.values()} == {DTYPES[precision]}
    has_state = any(layer.cell.states for layer in net.layers)
    question.holds(Answer(found["outputs"], apart(net, found) if has_state else None))
    return model


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_cell_is_a_scan(name):
    cell = PUBLISHED[name]
    net = Network(3, [Layer(cell, hidden_for(cell), "bidirectional")])
    for precision, engine in (("f64", "the reference"), ("f32", "ONNX Runtime")):
        model = agrees(Case(net, 4, 3, (4, 2, 0), seed=1), precision, engine, operators=False)
    assert from_onnx(model).net == net


@cell
def every_function(x, R, p, h, c):
    a, b = x.a + R.a(h), p.b * c
    some = cos(a) + sin(b) * softplus(40 * a) + sqrt(exp(-a)) - log(1 + a * a) / width(a) + remainder(a, 0.7)
    more = minimum(maximum(a, b), relu(0.5 - b)) + where(a > b, stop(a), where(a >= 0.1, -b, 0.3 * mean(b)))
    return tanh(some + more), sigmoid(c - logsumexp(a) * number(p.k) + R.a.T(total(a) * h) * number(x.i))


@cell
def every_matrix(x, R, p, S, T):
    k, v = tanh(x), x.v - x.v * number(p.n)
    S = sigmoid(number(x.i)) * S + outer(v - S @ k, k) - 0.1 * relu(S) * outer(1, p.d) + outer(x.g, 1) / width(x.g)
    return out(R.y(S @ k) + p.A @ k + total(T)), S, tanh(T + outer(v, 1))


def gelu(a):
    return 0.5 * a * (1 + erf(a / 1.4142135623730951))


WIDTHS = {"S.rows": 4, "T.columns": 2, "R.y": 5}
NETWORKS = {
    "every function": Network(3, [Layer(every_function, 4, "bidirectional")], Steps(), Dense(2)),
    "matrices": Network(3, [Layer(every_matrix, WIDTHS, "bidirectional")], Last()),
    "heads": Network(6, [Layer(every_matrix, WIDTHS, heads=3, shared=("p.A", "R.y")),
                         Layer(every_function, 3, "reverse", heads=2, shared=("x.a", "R.a", "p.k"))], Steps(),
                     Dense(2)),
    "a stack": Network(3, [Layer(cells.gru, 4, "reverse"), Layer(cells.mingru, 2, "bidirectional"),
                           Layer(cells.lstm, 3, "bidirectional")], Last(), Dense(5)),
    "operators": Network(3, [Layer(cells.lstm_peephole, 4, "bidirectional"), Layer(cells.elman_relu, 2, "reverse"),
                             Layer(cells.gru_reset_before, 3), Layer(cells.mgu, 3)], Last()),
    "a whole model": Network(4, [Dense(3, tanh), LayerNorm(), Layer(cells.lstm, 3, "bidirectional"), RMSNorm(),
                                 Layer(cells.mingru, 6, residual=True)], Last(), Dense(2), head=[Dense(5, gelu)]),
    "a residual operator": Network(3, [Layer(cells.gru, 3, residual=True)], Steps(), head=[Dense(2, tanh)]),
    "class numbers": Network(Embedding(5, 3), [Layer(cells.gru, 3, "reverse")], Steps(), Tied()),
    "learned states": Network(3, [Layer(cells.lstm, 4, "bidirectional", learned_state=True), Layer(cells.gru, 2)]),
    "noise": Network(3, [Dropout(0.3), Layer(cells.lstm, 4, noise=(Zoneout(0.2), WeightDrop(0.5)))], Last(),
                     head=[Dropout(0.1), Dense(2, tanh)]),
    "zoneout of an operator": Network(3, [Layer(cells.gru, 4, noise=Zoneout(0.2))]),
    "the class that is next": Network(Embedding(5, 4), [Layer(cells.mingru, 2, "bidirectional")], Last(), Tied()),
}  # fmt: skip


@pytest.mark.parametrize("lengths", [(5, 2, 0), None])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_kind_are_written(name, engine, lengths):
    case = Case(NETWORKS[name], 5, 3, lengths, seed=3)
    assert from_onnx(agrees(case, "f64", engine)).net == case.net
    agrees(case, "f32", engine, operators=engine == "ONNX Runtime")


@pytest.mark.parametrize("engine", ENGINES)
def test_lengths_and_states_may_be_left_out(engine):
    net = Network(3, [Layer(cells.mingru, 4, "bidirectional")], Last())
    case = Case(net, 4, 2, seed=2)
    question = Question.of(case, "f64").from_zeros()
    model = to_onnx(net, question.params, lengths=True, state=True, precision="f64").model
    found = called(engine, model, {"inputs": question.given.inputs})
    question.holds(Answer(found["outputs"], apart(net, found)))
    plain = to_onnx(net, question.params, precision="f64").model
    assert [i.name for i in plain.graph.input] == ["inputs"] and [o.name for o in plain.graph.output] == ["outputs"]
    question.holds(Answer(called(engine, plain, {"inputs": question.given.inputs})["outputs"]))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_that_is_left_out_is_the_learned_one(engine):
    net = Network(3, [Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, "bidirectional", learned_state=True),
                      Layer(cells.mingru, 2)])  # fmt: skip
    g = Case(net, 4, 2, seed=2).arrays("f64")
    ours = rnnspec.get_backend("numpy", precision="f64").run(net, g.params, g.inputs)
    other = {"layers": [dict(reversed(halves.items())) for halves in g.params["layers"]]}
    for options in ({}, {"state": True}, {"lengths": True, "state": True}):
        model = to_onnx(net, other, precision="f64", **options).model
        found = called(engine, model, {"inputs": g.inputs})
        np.testing.assert_allclose(found["outputs"], ours.outputs, 0, 1e-13)
    stream = Network(3, [Layer(cells.gru, 2, learned_state=True)])
    params = stream.init(0)
    params["layers"][0]["forward"]["initial"]["h"] += 0.5
    found = called(engine, to_onnx_step(stream, params, precision="f64").model, {"x_t": g.inputs[0]})
    ours = rnnspec.get_backend("numpy", precision="f64").run(stream, params, g.inputs[:1])
    np.testing.assert_allclose(found["y_t"], ours.outputs[0], 0, 1e-13)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("read", [Steps(), Last()])
@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0)])
def test_a_model_with_lengths_runs_no_steps_and_no_rows(steps, batch, read, engine):
    net = Network(3, [Layer(cells.mingru, 4, "bidirectional"), Layer(cells.gru, 4)], read, Dense(2))
    model = to_onnx(net, net.init(0), lengths=True, state=True, operators=False).model
    given = given_of(steps, batch) | {"lengths": np.zeros(batch, np.int32)}
    found = called(engine, model, given | {"state.0.h": np.ones((2, batch, 4), np.float32)})
    assert found["outputs"].shape == ((steps, batch, 2) if read == Steps() else (batch, 2))
    assert not found["outputs"].any()
    assert found["final.state.0.h"].shape == (2, batch, 4) and (found["final.state.0.h"] == 1).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["gru", "gla", "gated_deltanet"])
def test_steps_one_after_the_other_are_a_run(name, engine):
    cell = PUBLISHED[name]
    net = Network(3, [Layer(cell, hidden_for(cell)), Layer(cells.lstm, 2)], Steps(), Dense(2))
    question = Question.of(Case(net, 3, 2, seed=4), "f64").from_zeros()
    made = to_onnx_step(net, question.params, precision="f64")
    names, run = ENGINES[engine](made.model)
    outputs, state = [], {}
    for x in question.given.inputs:
        found = dict(zip(names, run(None, {"x_t": x} | state), strict=True))
        state = {name.removeprefix("final."): a for name, a in found.items() if name != "y_t"}
        outputs.append(found["y_t"])
    question.holds(Answer(np.stack(outputs), apart(net, {f"final.{name}": a for name, a in state.items()})))
    assert "Scan" not in operators(made.model) and from_onnx(made.model).net == net


def operators(model):
    return {node.op_type for node in model.graph.node}


def dims(infos):
    return {i.name: [d.dim_param or d.dim_value or None for d in i.type.tensor_type.shape.dim] for i in infos}


def test_axes_and_parameters_have_their_names():
    net = Network(3, [Layer(cells.gla, {"S.rows": 4, "S.columns": 5}, "bidirectional")], Steps(), Dense(2))
    model = to_onnx(net, net.init(0), lengths=True, state=True).model
    assert dims(model.graph.input) == {"inputs": ["time", "batch", 3], "lengths": [None],
                                       "state.0.S": [2, None, 4, 5]}  # fmt: skip
    assert dims(model.graph.output) == {"outputs": ["time", "batch", 2], "final.state.0.S": [2, "batch", 4, 5]}
    held = {i.name: tuple(i.dims) for i in model.graph.initializer}
    assert held.items() >= dict(leaves(net.parameter_shapes())).items()
    assert (model.opset_import[0].version, model.ir_version) == (18, 8)
    onnx.checker.check_model(model, full_check=True)


def test_a_loop_holds_what_each_step_changes_only():
    """What depends on inputs or parameters alone is computed once, and no parameter is turned around in a loop."""
    net = Network(3, [Layer(cells.mingru, 4), Layer(cells.gru, 4)])
    model = to_onnx(net, net.init(0), precision="f64").model
    bodies = [node.attribute[0].g for node in model.graph.node if node.op_type == "Scan"]
    assert [len(body.node) for body in bodies] == [3, 17]
    assert not {"Transpose", "Concat", "Expand"} & {node.op_type for body in bodies for node in body.node}


def read_by(nodes):
    return {name for node in nodes for name in node.input} | {
        name for node in nodes for a in node.attribute for name in read_by(a.g.node)}  # fmt: skip


@pytest.mark.parametrize("name", ["mclstm", "mogrifier_lstm", "fast_slow"])
def test_a_graph_has_no_node_that_nothing_reads(name):
    net = Network(3, [Layer(PUBLISHED[name], hidden_for(PUBLISHED[name]), "bidirectional")])
    graph = to_onnx(net, net.init(0)).model.graph
    read = read_by(graph.node) | {o.name for o in graph.output}
    assert all(read.intersection(node.output) for node in graph.node)
    assert read >= {i.name for i in graph.initializer}


def test_operators_are_used_where_they_may_be():
    net, mixed = Network(3, [Layer(cells.lstm, 4)]), Network(3, [Layer(cells.lstm, 4), Layer(cells.mingru, 4)])
    params = tree_map(np.float32, mixed.init(0))
    kinds = {"LSTM", "Scan"}
    own = {"layers": params["layers"][:1]}
    assert operators(to_onnx(net, own).model) & kinds == {"LSTM"}
    assert operators(to_onnx(net, own, operators=False).model) & kinds == {"Scan"}
    assert operators(to_onnx(net, own, precision="f64").model) & kinds == {"Scan"}
    assert operators(to_onnx(mixed, params).model) & kinds == kinds
    assert operators(to_onnx(mixed, params, operators=False).model) & kinds == {"Scan"}


@dataclass(frozen=True)
class OwnLoss(Loss):
    """A loss of a caller's own."""

    integer_targets = False

    def at(self, z, y):
        return total((z - y) * (z - y))


def test_the_metadata_give_the_network_back():
    net = Network(3, [Layer(cells.cornn(dt=0.1), 4, gradient=Truncated(3)), Layer(cells.lstm, 2)], Steps(), Dense(2),
                  SquaredError())  # fmt: skip
    params = net.init(0)
    for precision, rounded in (("f64", {Note.ROUNDED} - {Note.ROUNDED}), ("f32", {Note.ROUNDED})):
        made = to_onnx(net, params, precision=precision)
        found = from_onnx(onnx.load_from_string(made.model.SerializeToString()))
        assert found.net == net and not found.notes and noted(made.notes) == rounded
        kept = np.float32 if rounded else np.float64
        same_params(found.params, tree_map(kept, params))
    assert found.net.layers[0].cell.constants == net.layers[0].cell.constants


def test_what_metadata_cannot_hold_is_told():
    net = Network(3, [Layer(cells.mingru, 4)], Steps(), Dense(2), OwnLoss())
    made = to_onnx(net, net.init(0), precision="f64")
    assert noted(made.notes) == {Note.OBJECTIVE}
    assert from_onnx(made.model).net == replace(net, loss=None)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"network": 1}', '{"network": {}}'])
def test_metadata_that_declare_no_network_are_refused(text):
    net = Network(3, [Layer(cells.mingru, 4)])
    model = to_onnx(net, net.init(0)).model
    model.metadata_props[0].value = text
    with pytest.raises((ArgumentError, FileFormatError)):
        from_onnx(model)
    model.metadata_props[0].key = "another"
    with pytest.raises(UnsupportedError):
        from_onnx(model)


def test_a_changed_graph_is_not_what_its_metadata_say():
    net = Network(3, [Layer(cells.mingru, 4)])
    model = to_onnx(net, net.init(0), precision="f64").model
    trained = onnx.load_from_string(model.SerializeToString())
    held = next(i for i in trained.graph.initializer if i.name == "layers.0.forward.b.z")
    held.CopyFrom(onnx.numpy_helper.from_array(np.ones(4), held.name))
    assert np.array_equal(from_onnx(trained).params["layers"][0]["forward"]["b"]["z"], np.ones(4))
    held.CopyFrom(onnx.numpy_helper.from_array(np.ones(5), held.name))
    with pytest.raises(ShapeError, match=r"layers\.0\.forward\.b\.z must have the shape \(4,\), got shape \(5,\)"):
        from_onnx(trained)
    node = next(node for node in model.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Tanh"
    with pytest.raises(UnsupportedError):
        from_onnx(model)


def test_a_dense_layer_needs_no_loop():
    net = Network(3, [Dense(4, tanh), LayerNorm()], head=[Dense(2, tanh)])
    assert "Scan" not in operators(to_onnx(net, net.init(0)).model)


def test_the_error_function_is_an_operator():
    @cell
    def smooth(x, R, h):
        return gelu(x.h + R.h(h))

    for engine in ENGINES:
        for precision in ("f32", "f64"):
            agrees(Case(Network(3, [Layer(smooth, 4)]), 4, 3, (4, 2, 0), seed=1), precision, engine)


def test_functions_of_several_operators_are_as_exact_as_one():
    """The graph's own softplus, remainder and erf, of large and small numbers of both signs."""
    x = np.concatenate([np.linspace(-40, 40, 641), 10.0 ** np.linspace(-300, 3, 100)])
    x = np.concatenate([x, -x])
    expected = {"softplus": [math.log1p(math.exp(-abs(a))) + max(a, 0) for a in x], "erf": list(map(math.erf, x)),
                "remainder": list(np.remainder(x, 0.7))}  # fmt: skip
    for name, numbers in expected.items():
        graph = Graph("float64")
        arrays = OnnxArrays(graph)
        a = graph.input("a", (Dim("batch"),))
        given = [a, arrays.scalar(0.7)] if name == "remainder" else [a]
        graph.output("b", arrays.functions[name](*given))
        opset = onnx.helper.make_opsetid("", 18)
        model = onnx.helper.make_model(graph.finished(), opset_imports=[opset], ir_version=8)
        for engine in ENGINES:
            found = called(engine, model, {"a": x})["b"]
            np.testing.assert_allclose(found, numbers, 2e-15, 5e-324)


def given_of(steps=3, batch=2):
    return {"inputs": np.ones((steps, batch, 3), np.float32)}


def one_layer(cell, **options):
    net = Network(3, [Layer(cell, 4)])
    return to_onnx(net, net.init(0), **options).model


def one_node(op, inputs, shapes, **attributes):
    """A model of one operator in float64, and ones for its inputs."""
    named = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in (*inputs, "y")]
    nodes = [onnx.helper.make_node(op, list(inputs), ["y"], **attributes)]
    graph = onnx.helper.make_graph(nodes, op, named[:-1], named[-1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    return model, {name: np.ones(shape) for name, shape in zip(inputs, shapes, strict=True)}


def of_one(engine, x, op):
    """What an engine gives for one number in float64."""
    model, _ = one_node(op, "x", [()])
    return called(engine, model, {"x": np.array([x])})["y"][0]


def backwards():
    """A Scan of Tanh that runs in reverse."""
    own = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, (1,)) for name in "ab"]
    body = onnx.helper.make_graph([onnx.helper.make_node("Tanh", ["a"], ["b"])], "body", own[:1], own[1:])
    return one_node("Scan", "x", [(2, 1)], body=body, num_scan_inputs=1, scan_input_directions=[1])


GAPS = {
    "ONNX Runtime has no Erf in float64": (lambda: of_one("ONNX Runtime", 1.0, "Erf"), "NOT_IMPLEMENTED"),
    "ONNX Runtime has no RNN in float64": (
        lambda: called("ONNX Runtime", *one_node("RNN", "xwr", [(1, 1, 1)] * 3, hidden_size=1)), "NOT_IMPLEMENTED"),
    "ONNX Runtime has no LSTM in float64": (
        lambda: called("ONNX Runtime", *one_node("LSTM", "xwr", [(1, 1, 1), (1, 4, 1), (1, 4, 1)], hidden_size=1)),
        "LSTM operator does not support double yet"),
    "the reference runs no Scan in reverse": (lambda: called("the reference", *backwards()), "input_direction"),
    "ONNX Runtime runs no Scan of no steps": (
        lambda: called("ONNX Runtime", one_layer(cells.mingru), given_of(steps=0)), "Invalid dim0_offset"),
    "the reference runs no Scan of no steps": (
        lambda: called("the reference", one_layer(cells.mingru), given_of(steps=0)), "zero scan-input length"),
    "the reference does not know Relu of RNN": (
        lambda: called("the reference", one_layer(cells.elman_relu), given_of()), "Unknown activation function 'Relu'"),
}  # fmt: skip
"""What an engine refuses of what the standard has, with the smallest model that shows it."""


@pytest.mark.parametrize("name", GAPS)
def test_an_engine_still_lacks_this(name):
    call, evidence = GAPS[name]
    with pytest.raises(Exception, match=evidence):
        call()


def test_what_an_engine_still_computes_in_another_way():
    assert of_one("the reference", 1.0, "Erf") == float(np.float32(math.erf(1.0))) != math.erf(1.0)
    assert of_one("ONNX Runtime", -40.0, "Softplus") == 0.0 < math.log1p(math.exp(-40.0))


def test_onnx_runtime_still_aborts_where_an_lstm_has_no_rows(tmp_path):
    """The process ends by a signal; an RNN gives no rows, as the standard has it."""
    ended = []
    for own in (cells.lstm, cells.gru, cells.elman):
        onnx.save(one_layer(own), tmp_path / "net.onnx")
        program = ("import numpy, onnxruntime; found = onnxruntime.InferenceSession('net.onnx'); "
                   "found.run(None, {'inputs': numpy.ones((2, 0, 3), 'f')})")  # fmt: skip
        ended.append(subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False))
    assert [one.returncode < 0 for one in ended] == [True, True, False]


def test_the_reference_does_not_read_the_lengths_of_operators():
    model = one_layer(cells.elman, lengths=True, state=True)
    given = given_of() | {"lengths": np.array([3, 1], np.int32), "state.0.h": np.zeros((1, 2, 4), np.float32)}
    theirs, ours = (called(engine, model, given)["final.state.0.h"][0] for engine in ENGINES)
    assert np.allclose(theirs[0], ours[0], atol=1e-6) and not np.allclose(theirs[1], ours[1], atol=1e-2)
