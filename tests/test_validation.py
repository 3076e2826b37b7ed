"""Every argument wrong in every way: the class, the words, before anything runs, and the same on every backend."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells, losses, policies
from rnnspec.errors import (
    ArgumentError,
    DtypeError,
    LengthsError,
    NetworkError,
    RnnSpecError,
    ShapeError,
    TargetError,
    TreeError,
    UnsupportedError,
)
from rnnspec.tree import tree_map
from rnnspec.updates import SGD, Adam

GRAMMAR = re.compile(r"^[^:]+\(.*\): .+, got .+; .+$", re.DOTALL)
NET = Network(2, [Layer(cells.lstm, 3, "bidirectional")], output=Dense(4), loss=losses.SoftmaxCrossEntropy())
REAL = Network(2, [Layer(cells.lstm, 3)], loss=losses.SquaredError())
LAST = Network(2, [Layer(cells.lstm, 3)], read=Last(), output=Dense(4), loss=losses.SoftmaxCrossEntropy())
PARAMS = NET.init(0)
STEPS, ROWS = 5, 3
GOOD = {
    "net": NET, "params": PARAMS, "inputs": np.zeros((STEPS, ROWS, 2)), "state": None, "lengths": np.array([5, 0, 2]),
    "output_cotangent": np.zeros((STEPS, ROWS, 4)), "state_cotangent": None, "targets": np.zeros((STEPS, ROWS), int),
    "rule": Adam(), "rule_state": Adam().init(PARAMS),
}  # fmt: skip
CALLS = {
    "run": ("net", "params", "inputs", "state", "lengths"),
    "pullback": ("net", "params", "inputs", "output_cotangent", "state_cotangent", "state", "lengths"),
    "value_and_grad": ("net", "params", "inputs", "targets", "state", "lengths"),
    "train_step": ("net", "rule", "params", "rule_state", "inputs", "targets", "state", "lengths"),
}


FULL = tree_map(np.zeros, NET.state_shapes(ROWS))


def put(tree, *path, value):
    """A copy of a tree with one branch replaced, or left out if the value is `...`."""
    key, *rest = path
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    if rest:
        copied[key] = put(tree[key], *rest, value=value)
    elif value is ...:
        del copied[key]
    elif isinstance(copied, list) and key == len(copied):
        copied.append(value)
    else:
        copied[key] = value
    return copied


itself: dict = {}
itself["layers"] = itself
listed: list = []
listed.append(listed)
FAR = PARAMS["layers"]
for _ in range(100_000):
    FAR = [FAR]
FORWARD = ("layers", 0, "forward")
SHARED = {
    "no network": ({"net": None}, ArgumentError),
    "a layer as a network": ({"net": NET.layers[0]}, ArgumentError),
    "inputs as a list": ({"inputs": [[[0.0, 0.0]]]}, ArgumentError),
    "no inputs": ({"inputs": None}, ArgumentError),
    "inputs as text": ({"inputs": "x"}, ArgumentError),
    "inputs of strings": ({"inputs": np.full((STEPS, ROWS, 2), "1")}, DtypeError),
    "complex inputs": ({"inputs": np.zeros((STEPS, ROWS, 2), complex)}, DtypeError),
    "inputs of objects": ({"inputs": np.zeros((STEPS, ROWS, 2), object)}, DtypeError),
    "inputs of dates": ({"inputs": np.zeros((STEPS, ROWS, 2), "datetime64[s]")}, DtypeError),
    "masked inputs": ({"inputs": np.ma.zeros((STEPS, ROWS, 2))}, ArgumentError),
    "inputs of rank 2": ({"inputs": np.zeros((STEPS, 2))}, ShapeError),
    "inputs of rank 4": ({"inputs": np.zeros((1, STEPS, ROWS, 2))}, ShapeError),
    "a number as inputs": ({"inputs": np.float64(0)}, ShapeError),
    "inputs of other features": ({"inputs": np.zeros((STEPS, ROWS, 3))}, ShapeError),
    "a batch first": ({"inputs": np.zeros((ROWS, STEPS, 2))}, ShapeError),
    "a size that overflows": ({"inputs": np.broadcast_to(np.float64(0), (2**29, 2**28, 2))}, ShapeError),
    "no parameters": ({"params": None}, ArgumentError),
    "an array as parameters": ({"params": np.zeros(3)}, ArgumentError),
    "a list as parameters": ({"params": [PARAMS]}, ArgumentError),
    "parameters without layers": ({"params": {}}, TreeError),
    "parameters without the output": ({"params": put(PARAMS, "output", value=...)}, TreeError),
    "parameters of more": ({"params": put(PARAMS, "more", value=np.zeros(3))}, TreeError),
    "parameters of no layer": ({"params": put(PARAMS, "layers", value=[])}, TreeError),
    "parameters of two layers": ({"params": put(PARAMS, "layers", 1, value=PARAMS["layers"][0])}, TreeError),
    "a half too few": ({"params": put(PARAMS, "layers", 0, "reverse", value=...)}, TreeError),
    "a map too few": ({"params": put(PARAMS, *FORWARD, "W", "i", value=...)}, TreeError),
    "a map too many": ({"params": put(PARAMS, *FORWARD, "p", "i", value=np.zeros(3))}, TreeError),
    "a map of another shape": ({"params": put(PARAMS, *FORWARD, "W", "i", value=np.zeros((2, 3)))}, ShapeError),
    "a bias of rank 2": ({"params": put(PARAMS, *FORWARD, "b", "i", value=np.zeros((3, 1)))}, ShapeError),
    "a complex map": ({"params": put(PARAMS, *FORWARD, "U", "i", value=np.zeros((3, 3), complex))}, DtypeError),
    "a tree for a map": ({"params": put(PARAMS, *FORWARD, "U", "i", value={"x": np.zeros((3, 3))})}, ArgumentError),
    "a list for a map": ({"params": put(PARAMS, *FORWARD, "U", "i", value=[[0.0] * 3] * 3)}, ArgumentError),
    "a map for a tree": ({"params": put(PARAMS, *FORWARD, "U", value=np.zeros((3, 3)))}, ArgumentError),
    "None for a map": ({"params": put(PARAMS, *FORWARD, "b", "i", value=None)}, ArgumentError),
    "parameters that hold themselves": ({"params": itself}, (TreeError, ArgumentError)),
    "a map that holds itself": ({"params": put(PARAMS, *FORWARD, "U", value=itself)}, TreeError),
    "parameters far down": ({"params": put(PARAMS, "layers", value=FAR)}, ArgumentError),
    "a state that holds itself": ({"state": listed}, ArgumentError),
    "a state far down": ({"state": FAR}, ArgumentError),
    "inputs that hold themselves": ({"inputs": listed}, ArgumentError),
    "lengths that hold themselves": ({"lengths": listed}, ArgumentError),
    "a state that is an array": ({"state": np.zeros((ROWS, 3))}, ArgumentError),
    "a state that is a dict": ({"state": FULL[0]}, ArgumentError),
    "a state of no layer": ({"state": []}, TreeError),
    "a state of a half": ({"state": put(FULL, 0, "reverse", value=...)}, TreeError),
    "a state without c": ({"state": put(FULL, 0, "forward", "c", value=...)}, TreeError),
    "a state of more": ({"state": put(FULL, 0, "forward", "m", value=np.zeros((ROWS, 3)))}, TreeError),
    "a state of another batch": ({"state": put(FULL, 0, "forward", "c", value=np.zeros((1, 3)))}, ShapeError),
    "a state without rows": ({"state": put(FULL, 0, "forward", "c", value=np.zeros(3))}, ShapeError),
    "a state of strings": ({"state": put(FULL, 0, "forward", "c", value=np.full((ROWS, 3), "a"))}, DtypeError),
    "lengths as a list": ({"lengths": [5, 0, 2]}, ArgumentError),
    "one length": ({"lengths": 3}, ArgumentError),
    "real lengths": ({"lengths": np.array([5.0, 0, 2])}, DtypeError),
    "lengths of truth values": ({"lengths": np.array([True, False, True])}, DtypeError),
    "lengths of another batch": ({"lengths": np.array([5, 0])}, ShapeError),
    "lengths of rank 2": ({"lengths": np.array([[5, 0, 2]])}, ShapeError),
    "a number as lengths": ({"lengths": np.int64(3)}, ShapeError),
    "a negative length": ({"lengths": np.array([5, -1, 2])}, LengthsError),
    "a length after the end": ({"lengths": np.array([5, 0, 6])}, LengthsError),
    "a length that wraps around": ({"lengths": np.array([5, 0, 2**32 + 1])}, LengthsError),
    "a length beyond any sign": ({"lengths": np.array([5, 0, 2**64 - 1], np.uint64)}, LengthsError),
}
WRONG = {call: dict(SHARED) for call in CALLS}
WRONG["pullback"] |= {
    "no cotangent": ({"output_cotangent": None}, ArgumentError),
    "a cotangent of another shape": ({"output_cotangent": np.zeros((STEPS, ROWS, 6))}, ShapeError),
    "a cotangent without time": ({"output_cotangent": np.zeros((ROWS, 4))}, ShapeError),
    "a cotangent of integers with a sign of text": ({"output_cotangent": np.full((STEPS, ROWS, 4), "-")}, DtypeError),
    "a final cotangent of a half": ({"state_cotangent": put(FULL, 0, "reverse", value=...)}, TreeError),
    "a final cotangent of another batch": (
        {"state_cotangent": put(FULL, 0, "forward", "h", value=np.zeros((2, 3)))},
        ShapeError,
    ),
    "a final cotangent that holds itself": ({"state_cotangent": listed}, ArgumentError),
    "a final cotangent that is an array": ({"state_cotangent": np.zeros((ROWS, 3))}, ArgumentError),
}
SUPERVISED = {
    "no loss": ({"net": Network(2, NET.layers, output=Dense(4))}, NetworkError),
    "no targets": ({"targets": None}, ArgumentError),
    "targets as a list": ({"targets": [[0] * ROWS] * STEPS}, ArgumentError),
    "real labels": ({"targets": np.zeros((STEPS, ROWS))}, DtypeError),
    "labels of truth values": ({"targets": np.zeros((STEPS, ROWS), bool)}, DtypeError),
    "labels with features": ({"targets": np.zeros((STEPS, ROWS, 4), int)}, ShapeError),
    "labels of another time": ({"targets": np.zeros((STEPS + 1, ROWS), int)}, ShapeError),
    "labels of rows only": ({"targets": np.zeros(ROWS, int)}, ShapeError),
    "a negative label": ({"targets": np.full((STEPS, ROWS), -1)}, TargetError),
    "a label of no class": ({"targets": np.full((STEPS, ROWS), 4)}, TargetError),
    "a label that wraps around": ({"targets": np.full((STEPS, ROWS), 2**32)}, TargetError),
    "real targets of another shape": (
        {"net": REAL, "params": REAL.init(0), "targets": np.zeros((STEPS, ROWS, 4))},
        ShapeError,
    ),
    "labels for real targets": ({"net": REAL, "params": REAL.init(0)}, ShapeError),
    "labels of every step for the last": ({"net": LAST, "params": LAST.init(0)}, ShapeError),
}
for call in ("value_and_grad", "train_step"):
    WRONG[call] |= SUPERVISED
WRONG["train_step"] |= {
    "no rule": ({"rule": None}, ArgumentError),
    "a rule's class": ({"rule": SGD}, ArgumentError),
    "a policy alone": ({"rule": policies.ClipByNorm(1.0)}, NetworkError),
    "no rule state": ({"rule_state": None}, ArgumentError),
    "the state of another rule": ({"rule_state": ()}, ArgumentError),
    "a rule state that holds itself": ({"rule_state": put(GOOD["rule_state"], "m", value=itself)}, TreeError),
    "a rule state far down": ({"rule_state": put(GOOD["rule_state"], "v", "layers", value=FAR)}, ArgumentError),
    "a rule state without a name": ({"rule_state": put(GOOD["rule_state"], "m_mass", value=...)}, TreeError),
    "a rule state of another shape": ({"rule_state": put(GOOD["rule_state"], "m_mass", value=np.zeros(1))}, ShapeError),
    "a rule state with a number": ({"rule_state": put(GOOD["rule_state"], "m_mass", value=0.0)}, ArgumentError),
}
EVERY = [(call, name) for call, cases in WRONG.items() for name in cases]


def arguments(call, changed):
    """The good arguments of a call with some changed; what a rule keeps is of the network that is trained."""
    given = {**GOOD, **changed}
    if "net" in changed and isinstance(changed["net"], Network) and "rule_state" not in changed:
        given["rule_state"] = given["rule"].init(given["net"].init(0))
    return {name: given[name] for name in CALLS[call]}


class Spy(rnnspec.Backend):
    """The base class, which remembers that anything ran."""

    name = "spy"
    ran = 0

    def program(self, function, *constants):
        self.ran += 1
        return super().program(function, *constants)

    def layer(self, *given):
        self.ran += 1
        return super().layer(*given)


@pytest.mark.parametrize(("call", "name"), EVERY, ids=lambda v: v)
def test_it_is_refused_in_words_before_anything_runs(call, name):
    changed, kind = WRONG[call][name]
    spy = Spy(None, "f64")
    with pytest.raises(kind) as caught:
        getattr(spy, call)(**arguments(call, changed))
    error = caught.value
    assert isinstance(error, RnnSpecError)
    assert GRAMMAR.match(str(error)), str(error)
    assert error.call == f"spy.{call}(...)"
    assert all([error.must, error.got, error.do])
    assert spy.ran == 0


@pytest.mark.parametrize(("call", "name"), [c for c in EVERY if c[0] != "value_and_grad"], ids=lambda v: v)
def test_every_backend_refuses_it_with_the_same_class(call, name, backend64):
    changed, kind = WRONG[call][name]
    with pytest.raises(kind) as caught:
        getattr(backend64, call)(**arguments(call, changed))
    with pytest.raises(kind) as other:
        getattr(Spy(None, "f64"), call)(**arguments(call, changed))
    assert type(caught.value) is type(other.value)
    assert (caught.value.must, caught.value.got) == (
        other.value.must.replace("one of spy", f"one of {backend64.name}"), other.value.got,
    )  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_good_arguments_are_taken(call, reference):
    getattr(reference, call)(**arguments(call, {}))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "i8", "u8", "?", ">f8", ">i4"])
def test_real_numpy_arrays_of_any_precision_are_cast(dtype, reference):
    inputs = np.arange(STEPS * ROWS * 2).reshape(STEPS, ROWS, 2) % 2
    expected = reference.run(NET, PARAMS, inputs.astype(float)).outputs
    np.testing.assert_array_equal(reference.run(NET, PARAMS, inputs.astype(dtype)).outputs, expected)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i8", "u1", "u8", ">i4"])
def test_lengths_and_labels_of_any_whole_kind(dtype, reference):
    lengths, labels = np.array([5, 0, 2], dtype), np.ones((STEPS, ROWS), dtype)
    found = reference.value_and_grad(NET, PARAMS, GOOD["inputs"], labels, lengths=lengths)
    assert found.count == 7


def test_a_state_may_be_tuples_where_lists_are(reference):
    reference.run(NET, PARAMS, GOOD["inputs"], tuple(FULL))


@pytest.mark.parametrize(("lacks", "changed"), [
    ("lengths", {}), ("gradients", {"lengths": None}), ("cells", {}), ("directions", {}),
])  # fmt: skip
def test_what_a_backend_lacks_is_refused_and_named(lacks, changed):
    none = {"lengths": False, "gradients": False, "cells": (cells.gru,), "directions": ("forward",)}[lacks]

    class Lacking(Spy):
        capabilities = rnnspec.Capabilities(**{lacks: none})

    spy = Lacking(None, "f64")
    with pytest.raises(UnsupportedError, match={"cells": "cell lstm", "directions": "bidirectional"}.get(lacks, lacks)):
        spy.pullback(**arguments("pullback", changed))
    assert spy.ran == 0


@pytest.mark.parametrize(("lacks", "none", "lengths", "says"), [
    ("sizes", ((1, 1),), None, "size"), ("empty_rows", False, [0, 1], "empty_rows"),
    ("lengths", False, [1, 2], "lengths"),
])  # fmt: skip
def test_sizes_and_lengths_that_are_not_declared_are_refused_and_full_rows_are_none(lacks, none, lengths, says):
    class Lacking(rnnspec.Backend):
        capabilities = rnnspec.Capabilities(**{lacks: none})

    net = rnnspec.Network(3, [rnnspec.Layer(cells.elman, 2)])
    lacking, x = Lacking(None, "f64"), np.ones((2, 2, 3))
    with pytest.raises(UnsupportedError, match=says):
        lacking.run(net, net.init(seed=0), x, lengths=None if lengths is None else np.array(lengths))
    if lacks != "sizes":
        full = lacking.run(net, net.init(seed=0), x, lengths=np.array([2, 2])).outputs
        assert (full == lacking.run(net, net.init(seed=0), x).outputs).all()


@pytest.mark.parametrize(("device", "precision"), [("tpu", "f32"), ("cpu", "f8"), ("cpu", "float32"), (None, None)])
def test_a_device_or_precision_that_is_not_declared(device, precision):
    with pytest.raises(UnsupportedError):
        rnnspec.Backend(device, precision)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_another_framework_s_array_is_no_argument(name, reference):
    foreign = rnnspec.get_backend(name, precision="f64").asarray(GOOD["inputs"])
    with pytest.raises(ArgumentError, match=r"numpy\.asarray"):
        reference.run(NET, PARAMS, foreign)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_a_framework_s_own_array_must_have_the_precision(name):
    inputs = rnnspec.get_backend(name, precision="f32").asarray(GOOD["inputs"])
    with pytest.raises(DtypeError, match="float64, got dtype float32"):
        rnnspec.get_backend(name, precision="f64").run(NET, PARAMS, inputs)


def test_asarray_copies(backend64):
    given = {"w": np.zeros(3)}
    mine = backend64.asarray(given)
    given["w"][0] = 1
    assert not backend64.to_numpy(mine)["w"].any()


@pytest.mark.parametrize(
    "wrong", [[1.0], "x", {"w": None}, {"w": 1.0}, {"w": np.array("x")}, {"w": np.zeros(2, complex)}], ids=repr
)
def test_asarray_refuses(wrong, backend64):
    with pytest.raises(ArgumentError):
        backend64.asarray(wrong)


@pytest.mark.parametrize("method", ["asarray", "to_numpy"])
@pytest.mark.parametrize("tree", [itself, listed, (listed,), FAR], ids=["dict", "list", "tuple", "far down"])
def test_a_tree_that_never_ends_is_refused(method, tree, backend64):
    with pytest.raises(TreeError) as caught:
        getattr(backend64, method)(tree)
    assert GRAMMAR.match(str(caught.value))
    assert caught.value.call == f"{backend64.name}.{method}(tree)"


def test_a_tree_that_never_ends_starts_no_rule_and_no_file(tmp_path):
    for call in (lambda: Adam().init(itself), lambda: rnnspec.save(tmp_path / "net", NET, itself)):
        with pytest.raises(TreeError):
            call()
    assert not any(tmp_path.iterdir())
