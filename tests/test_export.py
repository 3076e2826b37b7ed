"""Networks exported to files: what is written, what the command says, 8 bits, streams, and what C compilers say."""

from __future__ import annotations

import ast
import ctypes
import subprocess
import sys

import numpy as np
import pytest

import rnnspec
from conformance.exported import KINDS
from conformance.exported.c_program import GLUE, STRICT, CProgram, compiled, compiler, loaded
from rnnspec import Dense, Embedding, Last, Layer, LayerNorm, Network, Tied, cells
from rnnspec.__main__ import main
from rnnspec.contract.capabilities import Capabilities
from rnnspec.errors import ArgumentError, TreeError
from rnnspec.export import TARGETS, to_c, to_numpy
from rnnspec.export.rounding import rounded
from rnnspec.interface.backend import Backend
from rnnspec.noise import Dropout, Zoneout
from rnnspec.primitives import exp, sigmoid, tanh
from rnnspec.tree import leaves, tree_map

PLAIN = Network(3, [Layer(cells.lstm, 4)])
DECAYED = rnnspec.cell(lambda x, p, h: exp(-exp(p.a)) * h * sigmoid(p.b) + x.h)
NETS = {
    "plain": PLAIN,
    "stack": Network(4, [Layer(cells.gru, 4, residual=True), LayerNorm(), Layer(cells.mlstm, 3)], output=Dense(2)),
    "last": Network(3, [Layer(cells.lstm, 4), Layer(cells.gru, 5)], Last(), Dense(2), head=[Dense(6, tanh)]),
    "both ways": Network(8, [Layer(cells.lstm, 4, "bidirectional", residual=True), Layer(cells.gru, 3, "reverse")]),
    "both ways, last": Network(3, [Layer(cells.gru, 4, "bidirectional")], Last(), Dense(2), head=[LayerNorm()]),
    "heads": Network(4, [Layer(cells.deltanet, {"S.rows": 3, "S.columns": 2}, heads=2, shared=("x.k",))]),
    "heads of maps": Network(3, [Layer(cells.fast_slow, 2, heads=2, shared=("R.first_i",))]),
    "turned maps": Network(3, [Layer(cells.lipschitz_rnn, 4)]),
    "classes": Network(Embedding(7, 4), [Layer(cells.gru, 4)], output=Tied()),
    "classes, both ways": Network(Embedding(7, 4), [Layer(cells.gru, 2, "bidirectional")], output=Tied()),
    "learned states": Network(3, [Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, "bidirectional", learned_state=True),
                                  Layer(cells.gru, 4)]),
    "noise": Network(4, [Layer(cells.lstm, 2, "bidirectional", noise=Zoneout(0.2), learned_state=True), Dropout(0.3)],
                     Last(), Dense(2), head=[Dropout(0.5), Dense(3, tanh), Dropout(0.1)]),
    "noise of steps": Network(4, [Dropout(0.1), Layer(cells.gru, 4, noise=Zoneout(0.5), residual=True), Dropout(0.3)]),
    "decays": Network(4, [Layer(cells.s5, 3), Layer(DECAYED, 2, heads=3), Layer(DECAYED, 2, heads=3, shared=("p.a",))]),
    "without a state": Network(3, [Dense(5, tanh)]),
}  # fmt: skip
FORWARD = [name for name, net in NETS.items() if all(layer.direction == "forward" for layer in net.layers)]


class Lowered(Backend):
    capabilities = Capabilities(embedding=True)


def inputs(net, steps=6, batch=3):
    rng = np.random.default_rng(1)
    own = net.inputs
    return rng.integers(own.classes, size=(steps, batch)) if isinstance(own, Embedding) else rng.normal(
        size=(steps, batch, own))  # fmt: skip


def parameters(net):
    """Drawn parameters, none of them 0."""
    rng = np.random.default_rng(3)
    return tree_map(lambda a: a + 0.1 * rng.normal(size=a.shape), net.init(0))


def state(net, batch=3):
    rng = np.random.default_rng(2)
    return net.state_tree(batch, lambda shape: np.abs(rng.normal(size=shape)) + 0.1)


def module(exported, folder=None):
    """The namespace of an exported Python file; one with weights beside it is written first."""
    found = {"__file__": "net.py"}
    if folder:
        found["__file__"] = str(exported.save(folder / "net.py")[0])
    exec(compile(exported.main, "net.py", "exec"), found)
    return found


def agree(found, right, tolerance=1e-12):
    assert found[0].shape == right.outputs.shape
    assert np.abs(found[0] - right.outputs).max(initial=0) < tolerance
    for (name, a), (_, b) in zip(leaves(found[1]), leaves(right.state), strict=True):
        assert np.abs(a - b).max(initial=0) < tolerance, name


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_whole_network_has_the_values_of_the_specification(net, target):
    params, x, begun, lengths = parameters(net), inputs(net), state(net), np.array([6, 0, 3])
    right = Lowered(None, "f64").run(net, params, x, begun, lengths)
    program = KINDS[target].opened(net, params, "f64")
    agree(program.run(x, begun, lengths), right)
    agree(program.run(x, None, lengths), Lowered(None, "f64").run(net, params, x, None, lengths))


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_weights_of_8_bits_are_those_of_the_rounded_network_everywhere(net, tmp_path):
    params, x, begun, lengths = parameters(net), inputs(net), state(net), np.array([6, 0, 3])
    right = Lowered(None, "f64").run(net, rounded(params), x, begun, lengths)
    for beside in (False, True):
        exported = to_numpy(net, params, precision="f64", int8=True, beside=beside)
        found = module(exported, tmp_path if beside else None)
        agree(found["run"](x, begun, lengths), right)
    files = to_c(net, params, precision="f64", int8=True, beside=True).files
    agree(CProgram(net, "f64", lambda steps: loaded(files, steps)).run(x, begun, lengths), right)
    assert exported.error == to_c(net, params, int8=True).error
    assert 0 < exported.error.largest < exported.error.output
    whole = to_c(net, params, beside=True).files[".bin"]
    assert len(to_c(net, params, beside=True, int8=True).files[".bin"]) < len(whole)


def test_the_error_of_8_bits_is_that_over_its_drawn_inputs():
    params = PLAIN.init(0)
    x = np.random.default_rng(0).normal(size=(64, 16, 3))
    one, other = (module(to_numpy(PLAIN, own, precision="f64"))["run"](x)[0] for own in (params, rounded(params)))
    found = to_c(PLAIN, params, int8=True).error
    assert (found.largest, found.output) == pytest.approx((np.abs(one - other).max(), np.abs(one).max()), rel=1e-9)
    assert to_c(PLAIN, params).error is None


@pytest.mark.parametrize("name", FORWARD)
def test_steps_are_those_of_a_run(name):
    net = NETS[name]
    params, x = parameters(net), inputs(net)
    own = module(to_numpy(net, params, precision="f64"))
    outputs, final = own["run"](x)
    now, seen = None, []
    for x_t in x:
        y, now = own["step"](x_t, now)
        seen.append(y)
    is_last = isinstance(net.read, Last)
    assert np.allclose(seen[-1] if is_last else seen, outputs, rtol=0, atol=1e-14)
    assert all(np.allclose(a, b, atol=1e-14) for (_, a), (_, b) in zip(leaves(now), leaves(final), strict=True))


@pytest.mark.parametrize("name", FORWARD)
def test_steps_of_c_are_those_of_a_run(name):
    net = NETS[name]
    params, x, own = parameters(net), inputs(net)[:, 0], np.float64
    library = compiled(to_c(net, params, precision="f64").main)
    library.net_size.restype = ctypes.c_size_t
    one, other = (np.full(library.net_size() // 8, np.nan) for _ in range(2))
    x = np.ascontiguousarray(x, np.intc if isinstance(net.inputs, Embedding) else own)
    whole, y = np.zeros((len(x), net.features)), np.zeros((len(x), net.features))
    for memory in (one, other):
        library.net_reset(ctypes.c_void_p(memory.ctypes.data))
    assert not library.net_run(*(ctypes.c_void_p(a) for a in (x.ctypes.data, len(x), one.ctypes.data,
                                                              whole.ctypes.data)))  # fmt: skip
    for t in range(len(x)):
        library.net_step(*(ctypes.c_void_p(a.ctypes.data) for a in (x[t : t + 1], other, y[t])))
    if isinstance(net.read, Last):
        assert np.array_equal(whole[0], y[-1])
    else:
        assert np.array_equal(whole, y)
    assert np.array_equal(one, other)


def test_c_computes_what_parameters_alone_make_before():
    net = NETS["decays"]
    text = to_c(net, net.init(0)).main.decode()
    assert not any(f"{name}f(" in text for name in ("exp", "cos", "sin"))
    with_exponents = Network(3, [Layer(cells.slstm, 4)])
    assert "expf(" in to_c(with_exponents, with_exponents.init(0)).main.decode()


def test_a_python_file_imports_numpy_and_python_alone():
    for net in NETS.values():
        for node in ast.walk(ast.parse(to_numpy(net, net.init(0)).main)):
            assert not isinstance(node, ast.ImportFrom)
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"numpy", "math", "base64"}


def test_a_python_file_shows_the_equations_and_small_weights():
    text = to_numpy(PLAIN, PLAIN.init(0)).main.decode()
    assert "    f = sigmoid(x @ W.f.T + b.f + h @ U.f.T)\n" in text
    assert "    new_c = f * c + i * g\n" in text
    assert str(np.float32(PLAIN.init(0)["layers"][0]["forward"]["b"]["i"][0])) in text
    assert "base64" not in text
    large = Network(3, [Layer(cells.lstm, 40)])
    assert "import base64" in to_numpy(large, large.init(0)).main.decode()


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_weights_beside_a_python_file_are_read_and_checked(precision, tmp_path):
    params = PLAIN.init(0)
    exported = to_numpy(PLAIN, params, precision=precision, beside=True)
    x = inputs(PLAIN)
    own = module(exported, tmp_path)
    assert np.array_equal(own["run"](x)[0], module(to_numpy(PLAIN, params, precision=precision))["run"](x)[0])
    assert own["run"](x)[0].dtype == {"f32": np.float32, "f64": np.float64}[precision]
    other = Network(3, [Layer(cells.lstm, 5)])
    (tmp_path / "net.npz").write_bytes(to_numpy(other, other.init(0), beside=True).files[".npz"])
    with pytest.raises(ValueError, match="it must hold the parameters of net"):
        exec(compile(exported.main, "net.py", "exec"), {"__file__": str(tmp_path / "net.py")})


@pytest.mark.parametrize(("given", "message"), [
    ((np.zeros((2, 3)),), "x must be .time, batch, 3."),
    ((np.zeros((2, 1, 3)), None, [3]), "lengths must be 1 whole numbers from 0 to 2, got .3."),
    ((np.zeros((2, 1, 3)), None, [1.5]), "lengths must be"),
])  # fmt: skip
def test_a_python_file_refuses_what_does_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        module(to_numpy(PLAIN, PLAIN.init(0)))["run"](*given)


@pytest.mark.parametrize(("given", "message"), [
    (np.zeros((2, 3)), "whole numbers .time, batch., got float64"), (np.array([[7]]), "below 7, got 7 to 7"),
])  # fmt: skip
def test_a_python_file_refuses_what_is_no_class(given, message):
    net = NETS["classes"]
    with pytest.raises(ValueError, match=message):
        module(to_numpy(net, net.init(0)))["run"](given)


def test_c_refuses_what_is_no_class_and_too_many_steps():
    net = NETS["classes, both ways"]
    library = compiled(to_c(net, net.init(0), most_steps=4).main)
    library.net_size.restype = ctypes.c_size_t
    memory, y = np.zeros(library.net_size() // 4, np.float32), np.zeros((5, 7), np.float32)

    def run(*numbers):
        x = np.array(numbers, np.intc)
        given = (x.ctypes.data, len(x), memory.ctypes.data, y.ctypes.data)
        return library.net_run(*map(ctypes.c_void_p, given))

    assert [run(0, 6), run(0, 7), run(-1, 0), run(*[0] * 4), run(*[0] * 5)] == [0, -1, -1, 0, -1]


def test_a_file_of_weights_is_as_the_page_of_files_says():
    params = parameters(PLAIN)
    own = params["layers"][0]["forward"]
    data = to_c(PLAIN, params, beside=True).files[".bin"]
    assert data[:8] == b"rnnspec1"
    assert np.frombuffer(data[16:20], "<f4") == [1.0]
    maps = [np.concatenate([own[kind][gate] for gate in "ifgo"]) for kind in "WbU"]
    numbers = np.concatenate([a.T.ravel() for a in maps]).astype("<f4")
    assert data[24:] == numbers.tobytes()
    other = to_c(PLAIN, params, beside=True, precision="f64").files[".bin"]
    assert data[8:16] != other[8:16]


SANITIZED = """
#include <stdio.h>
#include <stdlib.h>
#define NET_IMPLEMENTATION
#include "net.h"

int main(void)
{
    enum { STEPS = 9 };
    const size_t outputs = STEPS * NET_FEATURES * sizeof(TYPE);
    net_state *const state = malloc(sizeof *state);
    GIVEN *const x = calloc(STEPS * NET_INPUTS, sizeof(GIVEN));
    TYPE *const y = malloc(outputs);
    net_reset(state);
    const int failed = net_run(x, STEPS, state, y);
    for (size_t i = 0; i < outputs / sizeof(TYPE); i++)
        if (!(y[i] == y[i]))
            return 2;
    free(state);
    free(x);
    free(y);
    return failed;
}
"""


@pytest.mark.parametrize("name", ["stack", "both ways", "heads of maps", "turned maps", "classes, both ways"])
def test_sanitizers_find_nothing(name, tmp_path):
    net = NETS[name]
    glue = SANITIZED.replace("TYPE", "float").replace("GIVEN", "int" if "classes" in name else "float")
    glue = glue.replace("net_run", "(void)STEPS, net_run") if isinstance(net.read, Last) else glue
    (tmp_path / "net.h").write_bytes(to_c(net, net.init(0), int8=name == "stack").main)
    (tmp_path / "net.c").write_text(glue)
    checks = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    done = subprocess.run([compiler(), *STRICT, *checks, "-o", "net", "net.c", "-lm"], cwd=tmp_path, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = subprocess.run([str(tmp_path / "net")], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_header_is_c_plus_plus_too_and_can_be_included_twice(tmp_path):
    (tmp_path / "net.h").write_bytes(to_c(PLAIN, PLAIN.init(0)).main)
    use = '#include "net.h"\n#include "net.h"\nint main() { net_state s; net_reset(&s); }\n'
    (tmp_path / "use.cpp").write_text(use)
    (tmp_path / "net.c").write_text(GLUE)
    for command in (["-c", "-xc++", "use.cpp", "-o", "use.o"], ["-c", *STRICT, "net.c", "-o", "net.o"],
                    ["use.o", "net.o", "-lm", "-o", "use"]):  # fmt: skip
        done = subprocess.run([compiler(), *command], cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# The command.


@pytest.fixture
def saved(tmp_path):
    rnnspec.save(tmp_path / "model.safetensors", PLAIN, PLAIN.init(0))
    return tmp_path / "model.safetensors"


def said(capsys, *arguments):
    """The exit status of the command, and what it writes."""
    try:
        status = main(["export", *map(str, arguments)])
    except SystemExit as end:
        status = end.code
    written = capsys.readouterr()
    return status, written.out + written.err


def test_the_command_says_what_it_wrote_and_what_8_bits_change(saved, capsys):
    status, text = said(capsys, saved, "--to", "c", "--int8", "--beside", "-o", saved.with_name("small.h"))
    assert status == 0
    header, weights = saved.with_name("small.h"), saved.with_name("small.bin")
    assert f"wrote {header}, {header.stat().st_size} bytes" in text
    assert f"wrote {weights}, {weights.stat().st_size} bytes" in text
    assert "8-bit weights: outputs of up to " in text
    assert "small_step" in header.read_text()


def test_the_command_writes_beside_the_network_by_default(saved, capsys):
    status, text = said(capsys, saved, "--to", "numpy")
    written = saved.with_suffix(".py")
    assert (status, text) == (0, f"wrote {written}, {written.stat().st_size} bytes\n")
    used = "import model, numpy; print(model.run(numpy.ones((2, 1, 3)))[0].shape)"
    done = subprocess.run([sys.executable, "-c", used], cwd=saved.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 1, 4)\n"


@pytest.mark.parametrize(("arguments", "message"), [
    ((), "the following arguments are required: file"),
    (("{}",), f"--to must name a target, got None; choose one of {', '.join(TARGETS)}"),
    (("{}", "--to", "nunpy"), "--to must name a target, got 'nunpy'; did you mean 'numpy'?"),
    (("{}", "--to", "numpy", "--most-steps", "4"), "--to numpy must be given its own options"),
    (("{}", "--to", "numpy", "-o", "{}.pt"), "-o must name a file that ends in .py"),
    (("{}", "--to", "numpy", "-o", "no/folder/net.py"), "-o must name a file in a folder that exists"),
    (("{}", "--to", "c", "--precision", "f16"), "precision must be one of f32, f64, got 'f16'; choose one"),
    (("{}", "--to", "c", "-o", "a-b.h"), "the name must be letters, digits and underscores"),
    (("{}.not", "--to", "c"), "model.safetensors.not"),
    (("{}", "--too", "c"), "a flag must be one of"),
])  # fmt: skip
def test_the_command_refuses_in_one_line(saved, capsys, arguments, message):
    status, text = said(capsys, *(argument.format(saved) for argument in arguments))
    assert status == 2
    assert message in text
    assert text.count("\n") == 1
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_file_is_written_whole_or_not_at_all(saved, capsys, monkeypatch):
    target = saved.with_name("model.h")
    target.write_text("before")
    monkeypatch.setattr("rnnspec.storage.os.fsync", lambda _: (_ for _ in ()).throw(OSError("the disk is full")))
    status, text = said(capsys, saved, "--to", "c")
    assert (status, target.read_text()) == (2, "before")
    assert "the disk is full" in text
    assert sorted(file.name for file in saved.parent.iterdir()) == ["model.h", saved.name]


@pytest.mark.parametrize(("change", "error"), [
    ({"precision": "f16"}, ArgumentError), ({"name": "1st"}, ArgumentError), ({"name": "naïve"}, ArgumentError),
    ({"most_steps": 0}, ArgumentError), ({"params": {}}, TreeError), ({"net": "lstm"}, ArgumentError),
])  # fmt: skip
def test_wrong_arguments_are_refused(change, error):
    given = {"net": PLAIN, "params": PLAIN.init(0), **change}
    with pytest.raises(error, match="to_c"):
        to_c(**given)
