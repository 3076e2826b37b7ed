"""Files: what is saved comes back, what is no file of ours is refused, and a failing save changes nothing."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cell, cells, losses, policies
from rnnspec.errors import ArgumentError, FileFormatError, NetworkError
from rnnspec.primitives import maximum, sigmoid, tanh, total, where
from rnnspec.tree import leaves, tree_map

BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]


def mine():
    return cell(lambda x, R, p, h, n: (
        where(h > p.f, tanh(x.h + R.h(h) - 0.1234567890123 * n), maximum(sigmoid(x.a), h)), 0.5 * n + total(h),
    ))  # fmt: skip


NET = Network(3, [Layer(cells.lstm, 4, "bidirectional"), Layer(cells.lstm_projected, {"h": 2, "c": 3}, gradient=policies.Truncated(5)),
                  Layer(mine(), {"h": 2}, "reverse")], read=Last(), output=Dense(2), loss=losses.SoftmaxCrossEntropy())  # fmt: skip
PARAMS = NET.init(0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def same(one, other):
    found = dict(leaves(other))
    assert dict(leaves(one)).keys() == found.keys()
    for name, array in leaves(one):
        assert array.dtype == found[name].dtype
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_what_is_saved_comes_back(path):
    rnnspec.save(path, NET, PARAMS)
    net, params = rnnspec.load(path)
    assert net == NET
    assert hash(net) == hash(NET)
    assert [layer.cell.name for layer in net.layers] == ["lstm", "lstm_projected", "<lambda>"]
    same(PARAMS, params)


@pytest.mark.parametrize("declared", BUILT_IN, ids=lambda c: c.name)
def test_every_cell_comes_back(declared, path):
    net = Network(2, [Layer(declared, 3)], loss=losses.SquaredError())
    rnnspec.save(path, net, net.init(1))
    assert rnnspec.load(path)[0] == net


@pytest.mark.parametrize("loss", [None, losses.SquaredError(), losses.SigmoidCrossEntropy(), losses.SoftmaxCrossEntropy()], ids=repr)
def test_every_loss_comes_back(loss, path):
    net = Network(2, [Layer(cells.elman, 3)], loss=loss)
    rnnspec.save(path, net, net.init(1))
    assert rnnspec.load(path)[0] == net


def test_a_cell_of_one_s_own_comes_back_where_its_code_is_not(path, reference):
    rnnspec.save(path, NET, PARAMS)
    inputs = np.random.default_rng(0).normal(size=(4, 2, 3))
    np.save(path.with_suffix(".npy"), reference.run(NET, PARAMS, inputs).outputs)
    there = (
        "import sys, numpy as np, rnnspec; net, params = rnnspec.load(sys.argv[1])\n"
        "inputs = np.random.default_rng(0).normal(size=(4, 2, 3))\n"
        "found = rnnspec.Backend(None, 'f64').run(net, params, inputs).outputs\n"
        "sys.exit(not np.array_equal(found, np.load(sys.argv[1].replace('safetensors', 'npy'))))"
    )
    subprocess.run([sys.executable, "-c", there, str(path)], check=True)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
def test_numbers_keep_their_precision(dtype, path):
    params = tree_map(lambda a: a.astype(dtype), PARAMS)
    rnnspec.save(path, NET, params)
    for (_, before), (_, after) in zip(sorted(leaves(params)), sorted(leaves(rnnspec.load(path)[1])), strict=True):
        assert after.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(before, after)


def test_strided_and_read_only_numbers(path):
    params = tree_map(lambda a: np.asfortranarray(a)[::-1], PARAMS)
    for _, array in leaves(params):
        array.flags.writeable = False
    rnnspec.save(path, NET, params)
    same(params, rnnspec.load(path)[1])


def test_what_is_loaded_is_one_s_own_to_write(path):
    rnnspec.save(path, NET, PARAMS)
    _, params = rnnspec.load(path)
    for _, array in leaves(params):
        array += 1
    same(PARAMS, rnnspec.load(path)[1])


def test_saving_over_the_file_that_was_loaded(path):
    rnnspec.save(path, NET, PARAMS)
    net, params = rnnspec.load(path)
    rnnspec.save(path, net, params)
    same(PARAMS, params)
    same(PARAMS, rnnspec.load(path)[1])


def test_paths_of_any_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rnnspec.save("ünï code.rnn", NET, PARAMS)
    assert rnnspec.load("ünï code.rnn")[0] == NET
    rnnspec.save(os.path.join("x" * 255), NET, PARAMS)
    assert rnnspec.load("x" * 255)[0] == NET


class TestPermissions:
    def test_a_new_file_has_those_of_any_new_file(self, path):
        rnnspec.save(path, NET, PARAMS)
        plain = path.with_name("plain")
        plain.touch()
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)

    def test_a_file_keeps_its_own(self, path):
        path.touch(0o640)
        path.chmod(0o640)
        rnnspec.save(path, NET, PARAMS)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_link_keeps_pointing(self, path):
        link = path.with_name("link")
        path.touch()
        link.symlink_to(path)
        rnnspec.save(link, NET, PARAMS)
        assert link.is_symlink()
        assert rnnspec.load(path)[0] == NET


@dataclass(frozen=True)
class Mine(policies.Recurrence):
    """A policy that no file can name."""


class Truncated(policies.Truncated):
    """Another one that goes by the name of one that a file can."""


@pytest.mark.parametrize("policy", [Mine(), Truncated(3)], ids=["own", "impostor"])
def test_a_policy_of_one_s_own_is_refused(policy, path):
    net = Network(2, [Layer(cells.elman, 3, gradient=policy)])
    with pytest.raises(NetworkError, match="add it after loading"):
        rnnspec.save(path, net, net.init(0))
    assert not list(path.parent.iterdir())


def first(params, change):
    done = []
    return tree_map(lambda a: a if done else done.append(1) or change(a), params)


@pytest.mark.parametrize("change", [lambda a: a * np.nan, lambda a: a + np.inf, lambda a: a[:1], lambda a: a.astype(int),
                                    lambda a: a.astype(complex), lambda a: a.astype("g"), lambda a: a.astype(str),
                                    lambda a: None, lambda a: "x"],
                         ids=["NaN", "inf", "shape", "int", "complex", "longdouble", "str", "None", "text"])  # fmt: skip
def test_parameters_that_cannot_be_kept_are_refused(change, path):
    with pytest.raises(FileFormatError):
        rnnspec.save(path, NET, first(PARAMS, change))
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("params", [{}, None, [], {"layers": PARAMS["layers"]}, {**PARAMS, "more": np.zeros(1)}], ids=["none", "None",
                         "list", "few", "more"])  # fmt: skip
def test_parameters_of_another_network_are_refused(params, path):
    with pytest.raises(FileFormatError, match="names"):
        rnnspec.save(path, NET, params)


def test_what_is_no_network_is_refused(path):
    with pytest.raises(ArgumentError):
        rnnspec.save(path, PARAMS, NET)


def raw(path):
    """The header and the numbers of a file."""
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def write(path, header, numbers, size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + numbers)


def altered(change):
    """A file whose declared network is changed."""
    def attack(path):
        header, numbers = raw(path)
        declared = json.loads(header["__metadata__"]["rnnspec"])
        found = change(declared)
        header["__metadata__"]["rnnspec"] = json.dumps(declared if found is None else found)
        write(path, header, numbers)

    return attack


def node(index, value):
    def change(declared):
        declared["layers"][0]["cell"]["graph"]["nodes"][index] = value

    return altered(change)


def put(value, *keys):
    def change(declared):
        for key in keys[:-1]:
            declared = declared[key]
        declared[keys[-1]] = value

    return altered(change)


def metadata(text):
    def attack(path):
        header, numbers = raw(path)
        header["__metadata__"] = {"rnnspec": text} if text is not None else {}
        write(path, header, numbers)

    return attack


def numbers(change):
    """A file with other numbers, its network unchanged."""
    def attack(path):
        found = change(load_file(path))
        save_file(found, path, {"rnnspec": raw(path)[0]["__metadata__"]["rnnspec"]})

    return attack


NAME = "layers.0.forward.W.i"
GRAPH = ("layers", 0, "cell", "graph")
HOSTILE = {
    "empty": lambda p: p.write_bytes(b""),
    "seven bytes": lambda p: p.write_bytes(b"\0" * 7),
    "noise": lambda p: p.write_bytes(np.random.default_rng(0).bytes(10_000)),
    "a pickle": lambda p: p.write_bytes(pickle.dumps({"a": 1})),
    "truncated by a byte": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "truncated in the header": lambda p: p.write_bytes(p.read_bytes()[:100]),
    "longer by a byte": lambda p: p.write_bytes(p.read_bytes() + b"\0"),
    "a header that is too large": lambda p: write(p, b"{}", b"", 2**63),
    "a header of four gigabytes": lambda p: write(p, b"{}", b"", 2**32),
    "a header that is no JSON": lambda p: write(p, b"{" * 50, b""),
    "a header of deep JSON": lambda p: write(p, b'{"a":' * 5000 + b"1" + b"}" * 5000, b""),
    "no metadata": metadata(None),
    "metadata that are no JSON": metadata("{"),
    "metadata of deep JSON": metadata("[" * 100_000 + "]" * 100_000),
    "metadata that are a list": metadata("[]"),
    "metadata that are a number": metadata("1" * 5000),
    "another format": put("rnnspec-network/2", "format"),
    "no format": altered(lambda d: d.pop("format") and None),
    "no layers": put([], "layers"),
    "layers that are a number": put(3, "layers"),
    "negative inputs": put(-1, "inputs"),
    "inputs as text": put("3", "inputs"),
    "a width that is a list": put([["h", 3]], "layers", 0, "hidden"),
    "a width that is enormous": put(10**30, "layers", 0, "hidden"),
    "a direction that is none": put("up", "layers", 0, "direction"),
    "a policy that is none": put({"name": "os.system", "steps": 1}, "layers", 0, "gradient"),
    "a policy without its number": put({"name": "Truncated"}, "layers", 0, "gradient"),
    "a policy of zero steps": put({"name": "Truncated", "steps": 0}, "layers", 0, "gradient"),
    "a loss as a policy": put({"name": "SquaredError"}, "layers", 0, "gradient"),
    "a policy as a loss": put({"name": "Truncated", "steps": 1}, "loss"),
    "nothing to read": put(None, "read"),
    "an unknown operation": node(-1, ["system", [0], "", None]),
    "an operation of adjoints": node(-1, ["transposed", [0], "i", None]),
    "a cyclic graph": node(0, ["tanh", [5], "", None]),
    "a node that is a string": node(0, "xxxx"),
    "a node of three": node(0, ["state", [], "h"]),
    "no nodes": put([], *GRAPH, "nodes"),
    "no results": put([], *GRAPH, "results"),
    "a result too few": altered(lambda d: d["layers"][0]["cell"]["graph"]["results"].pop() and None),
    "a result of no node": put([["", 10**9], ["h", 0], ["c", 0]], *GRAPH, "results"),
    "a state too many": put(["h", "c", "m"], "layers", 0, "cell", "states"),
    "no states": put([], "layers", 0, "cell", "states"),
    "a state twice": put(["h", "h"], "layers", 0, "cell", "states"),
    "a state that is none": put(["h", "q"], "layers", 0, "cell", "states"),
    "NaN": numbers(lambda a: {**a, NAME: a[NAME] * np.nan}),
    "an infinity": numbers(lambda a: {**a, NAME: a[NAME] + np.inf}),
    "whole numbers": numbers(lambda a: {**a, NAME: a[NAME].astype(np.int64)}),
    "another shape": numbers(lambda a: {**a, NAME: a[NAME].T.copy()}),
    "a map too few": numbers(lambda a: {k: v for k, v in a.items() if k != NAME}),
    "a map too many": numbers(lambda a: {**a, "more": np.zeros(1)}),
    "a map of another name": numbers(lambda a: {k.replace("W.i", "W.I"): v for k, v in a.items()}),
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(attack, path):
    rnnspec.save(path, NET, PARAMS)
    attack(path)
    with pytest.raises(FileFormatError) as caught:
        rnnspec.load(path)
    assert str(path) in caught.value.call
    assert all([caught.value.must, caught.value.got, caught.value.do])


def test_a_pickle_is_not_run(path):
    class Run:
        def __reduce__(self):
            return os.mkdir, (str(path.with_name("run")),)

    path.write_bytes(pickle.dumps(Run()))
    with pytest.raises(FileFormatError):
        rnnspec.load(path)
    assert not path.with_name("run").exists()


def test_every_cut_of_a_file_is_refused(path):
    net = Network(1, [Layer(cells.mingru, 1)])
    rnnspec.save(path, net, net.init(0))
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(FileFormatError):
            rnnspec.load(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError):
        rnnspec.load(path)
    with pytest.raises(FileNotFoundError):
        rnnspec.save(path / "below", NET, PARAMS)


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
@pytest.mark.parametrize("error", [OSError(28, "no space left"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_a_failing_save_leaves_the_old_file_and_nothing_else(failing, error, path, monkeypatch):
    rnnspec.save(path, NET, PARAMS)
    before = path.read_bytes()

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(failing, fail)
        with pytest.raises(type(error)):
            rnnspec.save(path, NET, NET.init(1))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
