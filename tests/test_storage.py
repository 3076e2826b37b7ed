"""Files: what is saved comes back, what is no file of ours is refused, and a failing save changes nothing."""

from __future__ import annotations

import stat
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import rnnspec
from conformance.cases import hidden_for
from rnnspec import Dense, Last, Layer, Network, cell, cells, losses, policies
from rnnspec.errors import ArgumentError, FileFormatError, NetworkError
from rnnspec.primitives import cos, erf, maximum, mean, sigmoid, sin, stop, tanh, total, where, width
from rnnspec.tree import leaves, tree_map

BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]


def mine():
    return cell(lambda x, R, p, h, n: (
        where(h > p.f, tanh(x.h + R.h(h) - 0.1234567890123 * n), maximum(sigmoid(x.a), h)), 0.5 * n + total(h),
    ))  # fmt: skip


LAYERS = [
    Layer(cells.lstm, 4, "bidirectional"),
    Layer(cells.lstm_projected, {"h": 2, "c": 3}, gradient=policies.Truncated(5)),
    Layer(mine(), {"h": 2}, "reverse"),
]
NET = Network(3, LAYERS, read=Last(), output=Dense(2), loss=losses.SoftmaxCrossEntropy())
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


def test_a_cell_of_every_kind_of_function_comes_back(path):
    own = cell(lambda x, R, p, h: erf(cos(x.a) * sin(R.h(stop(h)))) / width(h) + (h - mean(h)) * p.g)
    net = Network(3, [Layer(own, 4)])
    rnnspec.save(path, net, net.init(0))
    assert rnnspec.load(path)[0] == net


@pytest.mark.parametrize("declared", BUILT_IN, ids=lambda c: c.name)
def test_every_cell_comes_back(declared, path):
    net = Network(2, [Layer(declared, hidden_for(declared, (3,)))], loss=losses.SquaredError())
    rnnspec.save(path, net, net.init(1))
    assert rnnspec.load(path)[0] == net


@pytest.mark.parametrize(
    "loss", [None, losses.SquaredError(), losses.SigmoidCrossEntropy(), losses.SoftmaxCrossEntropy()], ids=repr
)
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
        np.add(array, 1, out=array)
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
    rnnspec.save("x" * 255, NET, PARAMS)
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


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a * np.nan,
        lambda a: a + np.inf,
        lambda a: a[:1],
        lambda a: a.astype(int),
        lambda a: a.astype(complex),
        lambda a: a.astype("g"),
        lambda a: a.astype(str),
        lambda a: None,
        lambda a: "x",
    ],
    ids=["NaN", "inf", "shape", "int", "complex", "longdouble", "str", "None", "text"],
)
def test_parameters_that_cannot_be_kept_are_refused(change, path):
    with pytest.raises(FileFormatError):
        rnnspec.save(path, NET, first(PARAMS, change))
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize(
    "params",
    [{}, None, [], {"layers": PARAMS["layers"]}, {**PARAMS, "more": np.zeros(1)}],
    ids=["none", "None", "list", "few", "more"],
)
def test_parameters_of_another_network_are_refused(params, path):
    with pytest.raises(FileFormatError, match="names"):
        rnnspec.save(path, NET, params)


def test_what_is_no_network_is_refused(path):
    with pytest.raises(ArgumentError):
        rnnspec.save(path, PARAMS, NET)


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
