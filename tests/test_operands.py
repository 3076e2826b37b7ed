"""A recurrence whose x.name are given: what it refuses, its shapes, and the faults that its laws detect."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import rnnspec
from conformance.mutants.faulty import protocol_mutants
from conformance.mutants.parts import operands
from conformance.mutants.trial import Reference, killed_by
from conformance.registry import properties
from rnnspec import Layer, Network, Path, cells
from rnnspec.errors import ArgumentError, NetworkError, RnnSpecError, ShapeError, TreeError, UnsupportedError

LAWS = {law.id: law for law in properties() if law.id in {"P160", "P161", "P162", "P163", "P164"}}
FAULTS = list(protocol_mutants(operands))
KNOWN = {
    "operands: features chosen by a product": ("P163", "a shared key"),
    "operands: final state cotangent left out": ("P161", "every operand"),
    "operands: heads of a vector exchanged": ("P160", "every operand"),
    "operands: initial state learns nothing": ("P161", "every operand"),
    "operands: lengths left out": ("P160", "every operand"),
    "operands: of one shape exchanged": ("P162", "a shared key"),
    "operands: outputs of heads turned": ("P160", "every operand"),
    "operands: resets left out": ("P160", "every operand"),
    "operands: shared arrays learn the mean": ("P161", "every operand"),
    "operands: state left out": ("P160", "every operand"),
    "operands: the last array learns nothing": ("P161", "every operand"),
    "operands: unknown arrays ignored": ("P164", "every operand"),
}
"""A law and a label that detect each fault."""
T, B, H = 6, 3, 2
RNG = np.random.default_rng(0)
GIVEN = {"q": RNG.normal(size=(T, B, H, 3)), "k": RNG.normal(size=(T, B, 3)), "v": RNG.normal(size=(T, B, H, 4)),
         "a": RNG.normal(size=(T, B, H, 3))}  # fmt: skip
BACKEND = rnnspec.Backend(None, "f64")
BACKEND.capabilities = Reference.capabilities


@pytest.mark.parametrize("name", [mutant.name for mutant in FAULTS])
def test_a_fault_is_detected(name):
    law, label = KNOWN[name]
    assert killed_by({mutant.name: mutant for mutant in FAULTS}[name].make(Reference()), LAWS[law], label, 2)


def test_every_law_detects_one_of_them():
    assert {law for law, _ in KNOWN.values()} == set(LAWS)


def test_heads_have_an_axis_and_shared_arrays_have_none():
    answer = BACKEND.recur(cells.gla, GIVEN)
    assert (answer.outputs.shape, answer.state["S"].shape) == ((T, B, H, 4), (B, H, 3, 4))
    alone = [BACKEND.recur(cells.gla, {name: a[:, :, i] if a.ndim == 4 else a for name, a in GIVEN.items()})
             for i in range(H)]  # fmt: skip
    for i, one in enumerate(alone):
        np.testing.assert_allclose(answer.outputs[:, :, i], one.outputs, rtol=1e-12)
    found = BACKEND.recur_pullback(cells.gla, GIVEN, np.ones((T, B, H, 4)))
    assert {name: g.shape for name, g in found.inputs.items()} == {name: a.shape for name, a in GIVEN.items()}
    assert found.params == {"U": {}, "p": {}}


@pytest.mark.parametrize("name", rnnspec.backend_names())
def test_no_step_and_no_row(name):
    backend = rnnspec.get_backend(name, precision="f64")
    for t, b in ((0, 2), (3, 0)):
        given = {"z": np.ones((t, b, 4)), "h": np.ones((t, b, 4))}
        state = {"h": np.full((b, 4), 2.0)}
        answer = backend.recur(cells.mingru, given, state=state)
        assert backend.to_numpy(answer.outputs).shape == (t, b, 4)
        assert_array_equal(backend.to_numpy(answer.state["h"]), state["h"])
        reached = {"h": np.full((b, 4), 3.0)}
        found = backend.recur_pullback(cells.mingru, given, np.ones((t, b, 4)), reached, state=state)
        if t == 0:
            assert_array_equal(backend.to_numpy(found.state["h"]), reached["h"])


def test_long_sequences_run_in_parallel_over_time():
    backend = rnnspec.get_backend("numpy", precision="f64")
    given = {name: np.repeat(a, 20, 0) for name, a in GIVEN.items()}
    assert backend.recur(cells.gla, given).path == (("layers.0.forward", "parallel: chunks of 64"),)
    with pytest.raises(UnsupportedError, match="must have a form that is parallel"):
        backend.through(Path.PARALLEL).recur(cells.elman, {"h": np.ones((3, 1, 2))}, {"U": {"h": np.ones((2, 2))}})


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"q": GIVEN["q"]}, TreeError, r"given must have the names of the equations: a, k, q, v, got no a, no k, no v;"),
    ({**GIVEN, "z": GIVEN["q"]}, TreeError, r"got 'z'; give an array for each"),
    ({**GIVEN, "k": GIVEN["k"][..., :2]}, ShapeError, r"widths of S.rows, x.a, x.k, x.q must be equal, got given.a"),
    ({**GIVEN, "k": GIVEN["k"][:, 0]}, ShapeError, r"given.k must be \(time, batch, width\), or \(time, batch, heads"),
    ({**GIVEN, "q": GIVEN["q"][:, :, :1]}, ShapeError, r"must have equally many, got given.q with 1, given.a with 2"),
    ({**GIVEN, "k": GIVEN["k"][1:]}, ShapeError, r"given.k must have the shape \(6, 3, 3\), got shape \(5, 3, 3\)"),
    ([1], ArgumentError, r"given must map names to arrays, got list; write \{'a': ..., 'k': ..., 'q': ..., 'v': ...\}"),
])  # fmt: skip
def test_what_is_given_wrong_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        BACKEND.recur(cells.gla, given)


def test_other_arguments_are_refused_too():
    calls = {
        "cell must be a cell without heads": lambda: BACKEND.recur(Layer(cells.gla, 3, heads=2).cell, GIVEN),
        "params must have the names of the equations: none": lambda: BACKEND.recur(cells.gla, GIVEN, {"V": {}}),
        "params.U must have the names of the equations: h": lambda: BACKEND.recur(cells.elman, {"h": GIVEN["k"]}),
        "state must have the names of the equations: S": lambda: BACKEND.recur(cells.gla, GIVEN, state={}),
        r"state.S must have the shape \(3, 2, 3, 4\)":
            lambda: BACKEND.recur(cells.gla, GIVEN, state={"S": np.ones((3, 3, 4))}),
        "output_cotangent must have the shape": lambda: BACKEND.recur_pullback(cells.gla, GIVEN, np.ones((T, B, 8))),
    }  # fmt: skip
    for words, call in calls.items():
        with pytest.raises(RnnSpecError, match=words):
            call()


def test_a_backend_that_does_not_declare_it_refuses():
    plain = rnnspec.Backend(None, "f64")
    with pytest.raises(UnsupportedError, match="no recur among its capabilities"):
        plain.recur(cells.gla, GIVEN)


def test_a_layer_without_maps_has_no_weights_and_is_saved(tmp_path):
    layer = Layer(cells.mamba, {"S.columns": 2}, inputs=4, mapped=False)
    assert layer.cell.given == (("B", 2), ("C", 2), ("dt", 4), ("x", 4))
    net = Network(12, [layer])
    assert net.parameter_shapes()["layers"][0]["forward"]["W"] == {}
    rnnspec.save(tmp_path / "net.safetensors", net, net.init(0))
    assert rnnspec.load(tmp_path / "net.safetensors")[0] == net
    with pytest.raises(NetworkError, match="must be its features B=2 C=2 dt=4 x=4, got 11; give it 12 features"):
        Network(11, [layer])


def test_one_that_reads_x_itself_needs_its_features_and_no_other_x():
    with pytest.raises(NetworkError, match="inputs must give the features of x itself"):
        Layer(rnnspec.cell(lambda x, R, h: R.i(x) + h), 3, mapped=False)
    twice = rnnspec.cell(lambda x, h: x.x + x)
    with pytest.raises(NetworkError, match="may be called x"):
        Layer(twice, 3, mapped=False)
