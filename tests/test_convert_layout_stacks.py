"""A layout of one's own for several layers and both directions, read and given out."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import noted, refuses, same_params

from rnnspec import Layer, Network, cell, cells
from rnnspec.convert import Layout, Note, from_tensors, to_tensors
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.primitives import sigmoid, tanh


@cell
def blended(x, R, h):
    z = sigmoid(x.z + R.z(h))
    return (1 - z) * h + z * tanh(x.n + R.n(h))


OWN = Layout("Blended", blended, {"inputs": "(W.z W.n).T", "state": "U.z U.n", "bias": "b.z b.n"}, outside=("norm",))
NET = Network(3, [Layer(blended, 4, "bidirectional"), Layer(blended, 5), Layer(blended, 2, "reverse")])
PREFIX = [{"forward": "0.fw.", "reverse": "0.bw."}, "1.", {"reverse": "2.bw."}]


def test_layers_and_directions_have_prefixes_of_their_own():
    params = NET.init(seed=0)
    tensors = to_tensors(OWN, NET, params, prefix=PREFIX).model
    assert tensors.keys() == {f"{before}{name}" for before in ("0.fw.", "0.bw.", "1.", "2.bw.") for name in OWN.tensors}
    assert tensors["1.inputs"].shape == (8, 10)
    found = from_tensors(OWN, tensors | {"head.weight": np.ones(3), "1.norm.scale": np.ones(5)}, prefix=PREFIX)
    assert found.net == NET and noted(found.notes) == {Note.OUTSIDE}
    assert [note.place for note in found.notes] == ["layers.1"]
    same_params(found.params, params)


def test_a_stack_is_read_from_a_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    params = NET.init(seed=0)
    tensors = to_tensors(OWN, NET, params, prefix=PREFIX).model
    safetensors.save_file(tensors, tmp_path / "model.safetensors")
    same_params(from_tensors(OWN, tmp_path / "model.safetensors", prefix=PREFIX).params, params)


def test_one_layer_of_both_directions_has_a_mapping_for_its_prefix():
    net = Network(3, NET.layers[:1])
    tensors = to_tensors(OWN, net, net.init(0), prefix=PREFIX[0]).model
    assert from_tensors(OWN, tensors, prefix=PREFIX[0]).net == net


ONE = Network(3, [Layer(blended, 4)])
REFUSED = {
    "a tensor missing": (lambda: from_tensors(OWN, {"0.inputs": np.ones((3, 8)), "0.bias": np.ones(8)}, prefix="0."),
                         TreeError, "no state among inputs, bias"),
    "an unknown tensor": (lambda: from_tensors(OWN, to_tensors(OWN, ONE, ONE.init(0)).model | {"gain": np.ones(4)}),
                          TreeError, "'gain'"),
    "a direction that is none": (lambda: from_tensors(OWN, {}, prefix={"backward": ""}), ArgumentError, "backward"),
    "a prefix that is no text": (lambda: from_tensors(OWN, {}, prefix=[3]), ArgumentError, "3"),
    "other layers": (lambda: to_tensors(OWN, NET, NET.init(0), prefix=["0.", "1."]), UnsupportedError, "2 layers"),
    "another direction": (
        lambda: to_tensors(OWN, ONE, ONE.init(0), prefix={"reverse": ""}), UnsupportedError, "1 layer"),
    "one prefix twice": (
        lambda: to_tensors(OWN, Network(4, [Layer(blended, 4)] * 2), Network(4, [Layer(blended, 4)] * 2).init(0),
                           prefix=["0.", "0."]), ArgumentError, "0."),
    "a list for a published layer": (lambda: from_tensors("xlstm.sLSTMLayer", {}, prefix=["a"]), ArgumentError, "a"),
    "maps that are none": (lambda: from_tensors(Layout("Own", cells.mgu, {"w": "W.q"}), {}), ArgumentError, "W.q"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_evidence(name):
    refuses(*REFUSED[name])
