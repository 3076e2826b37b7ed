"""Files that are none of ours, or were and are spoilt: each is refused with the path and the evidence."""

from __future__ import annotations

import json
import os
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rnnspec
from rnnspec import Layer, Network, cells, storage
from rnnspec.errors import ArgumentError, FileFormatError

NET = Network(3, [Layer(cells.lstm, 4, "bidirectional"), Layer(cells.gru, 2)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


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
    "an operation of adjoints": node(-1, ["transposed", [0, 0], "i i", None]),
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
    rnnspec.save(path, NET, NET.init(0))
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


def test_a_number_beyond_all_is_refused():
    halved = rnnspec.cell(lambda x, R, h: 0.8125 * rnnspec.primitives.tanh(x.h + R.h(h)))
    text = json.dumps(storage.to_json(Network(2, [Layer(halved, 3)])))
    assert "0.8125" in text
    with pytest.raises(FileFormatError, match="OverflowError"):
        storage.from_json(json.loads(text.replace("0.8125", "1" + "0" * 400)))


def test_parameters_that_numpy_cannot_read_are_refused(path):
    torch = pytest.importorskip("torch")
    named = {name: torch.nn.Parameter(torch.from_numpy(a)) for name, a in rnnspec.tree.leaves(NET.init(0))}
    with pytest.raises(ArgumentError, match=r"layers\.0\.forward.*detach it"):
        rnnspec.save(path, NET, named)
    assert not path.exists()
