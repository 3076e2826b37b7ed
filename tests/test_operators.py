"""Operators judged as backends: right ones conform, each faulty one is told, and what cannot be called says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("jax")

import their_torch_operators as theirs  # noqa: E402
from operator_faults import FAULTS, OPERATORS, made  # noqa: E402

import rnnspec  # noqa: E402
from conformance import check_function  # noqa: E402
from conformance.cases import Case, load_cell, memory, remembering  # noqa: E402
from conformance.command import app  # noqa: E402
from conformance.judge import Failure, Judge  # noqa: E402
from conformance.operators import OperatorBackend  # noqa: E402
from conformance.operators.layout import Layout, Misshapen  # noqa: E402
from conformance.operators.operator import operator  # noqa: E402
from conformance.operators.packing import Packing  # noqa: E402
from conformance.properties.sequences.remembering import remembered  # noqa: E402
from conformance.registry import Scope, properties  # noqa: E402
from conformance.running.reproducer import reproducer  # noqa: E402
from rnnspec import Layer, Network, cells  # noqa: E402
from rnnspec.errors import ArgumentError, UnsupportedError  # noqa: E402

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures" / "operators.json"
OPERANDS = ("P160", "P161")
QUICK = [fault for fault in FAULTS if "JAX" not in fault.operator][1::14]
"""A few of them; `make operators` tests all."""


def statuses(function, cell, only=OPERANDS, examples=1, precision="f64", **more):
    more |= {"examples": examples, "precision": precision, "lacks": ("extremes",)}
    found = check_function(function, cell, only=only, **more)
    return {law: finding.status for law, finding in found.items()}


@pytest.mark.parametrize(("name", "laws"), [
    ("gla", (*OPERANDS, "P01")), ("deltanet", OPERANDS), ("mlstm", OPERANDS), ("ssd", OPERANDS), ("mingru", OPERANDS),
    ("hgrn in JAX", ("P161",)),
])  # fmt: skip
def test_a_right_operator_conforms(name, laws):
    """`make operators` tests every operator by all laws."""
    found = statuses(made(name), load_cell(OPERATORS[name][2]), laws)
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: f"{fault.operator}: {fault.says}")
def test_a_fault_is_detected(fault):
    assert "fail" in statuses(fault.make(), load_cell(fault.cell), examples=3).values()


LONG = {
    "only the last 32 steps": ("T = q.shape[1]",
                               "T = q.shape[1]\n    k = k * (torch.arange(T) >= T - 32)[:, None, None]"),
    "only the last 100 steps": ("T = q.shape[1]",
                                "T = q.shape[1]\n    k = k * (torch.arange(T) >= T - 100)[:, None, None]"),
    "zeros every 128 steps": ("        b = gc.cumsum(2)", "        S = S * (begin % 128 > 0 or begin == 0)\n"
                              "        b = gc.cumsum(2)"),
}  # fmt: skip
"""What kernels of several heads forget, on the way to step 512."""


def long_memory(function):
    """Asks a kernel of several heads the long one of its own cases."""
    subject = backend(function, cells.gla)
    scope = Scope(subject.capabilities.cells, brief=True, closed=True)
    assert next(iter(remembered(scope))) == "512 steps, both halves"  # a kernel runs the forward one
    layer = Layer(subject.capabilities.cells[0], {"S.rows": 3, "S.columns": 2})
    case = remembering(subject.fitted(Case(Network(2, [layer]), 512, 2, (512, 512))))
    assert case.net.layers[0].heads == 2
    next(law for law in properties() if law.id == "P170")(subject, case, Judge(subject))


def test_a_right_kernel_keeps_what_it_got_in_512_steps():
    long_memory(made("gla"))


@pytest.mark.parametrize("says", LONG)
def test_what_a_kernel_forgets_is_told_by_a_case_of_512_steps(says):
    with pytest.raises(Failure):
        long_memory(made("gla", *LONG[says]))


def test_a_case_remembers_also_at_sizes_in_multiples():
    def in_blocks(q, k, v, a, initial_state):
        return theirs.chunk_gla(q, k, v, a, initial_state)

    in_blocks.layout = {**theirs.chunk_gla.layout, "multiples": "time 16, width 8"}
    case = Case(Network(2, [Layer(cells.gla, {"S.rows": 3, "S.columns": 2}, heads=2)]), 40, 2)
    fitted = remembering(backend(in_blocks, cells.gla).fitted(case))
    assert (fitted.steps, fitted.net.layers[0].state_shapes["S"]) == (48, (2, 8, 8))
    assert memory(fitted).lost == ""


def test_every_fault_can_be_made_and_no_two_are_one():
    assert len(FAULTS) >= 60
    assert len({(fault.operator, fault.says) for fault in FAULTS}) == len(FAULTS)
    assert all(callable(fault.make()) for fault in FAULTS)


def test_the_figures_are_of_these_faults_and_each_is_detected():
    data = json.loads(FIGURES.read_text())
    assert [(row["operator"], row["says"]) for row in data["faults"]] == [(f.operator, f.says) for f in FAULTS]
    assert all(row["told_by"] for row in data["faults"])
    assert [(row["operator"], row["broken"]) for row in data["right"]] == [(name, []) for name in OPERATORS]


def backend(function, cell, lacks=("extremes",)):
    return OperatorBackend(operator("tests:op", function, cell, lacks), cell.name, "f64")


def minimal(z, h):
    """The minGRU without states, of NumPy arrays."""
    state, steps = np.zeros_like(h[0]), []
    for z_t, h_t in zip(1 / (1 + np.exp(-z)), h, strict=True):
        state = (1 - z_t) * state + z_t * h_t
        steps.append(state)
    return np.stack(steps)


minimal.framework = "numpy"


def test_what_an_operator_lacks_is_declared_and_noted():
    able = backend(minimal, cells.mingru).capabilities
    assert (able.gradients, able.lengths, able.resets, able.directions) == (False, False, False, ("forward",))
    assert backend(minimal, cells.mingru).notes == (
        "it takes no initial states: rows begin with zeros",
        "it returns no final states: those of the declaration stand in",
    )
    assert statuses(minimal, cells.mingru, ("P01-plain", "P160", "P161")) == {
        "P01-plain": "pass", "P160": "pass", "P161": "unsupported"}  # fmt: skip
    assert backend(theirs.ssd, cells.mamba2).capabilities.lengths
    assert backend(theirs.scan_mingru, cells.mingru).capabilities.resets


def test_final_states_that_nobody_returns_have_the_declaration_s_gradients():
    def outputs_alone(z, h, initial_state):
        return theirs.scan_mingru(z, h, initial_state)[0]

    assert statuses(outputs_alone, cells.mingru, ("P161", "P12"))["P161"] == "pass"


def test_a_cell_with_heads_shares_what_has_no_axis_for_them():
    cell = backend(theirs.ssd, cells.mamba2).capabilities.cells[0]
    assert (cell.heads, cell.shared) == (2, ("x.B", "x.C"))


def test_sizes_in_declared_multiples():
    def in_blocks(q, k, v, a, initial_state):
        assert q.shape[1] % 16 == 0
        assert q.shape[3] % 8 == v.shape[3] % 8 == 0
        return theirs.chunk_gla(q, k, v, a, initial_state)

    in_blocks.layout = {**theirs.chunk_gla.layout, "multiples": "time 16, width 8"}
    assert statuses(in_blocks, cells.gla, ("P160", "P01"))["P160"] == "pass"
    subject = backend(in_blocks, cells.gla)
    assert subject.notes == ("it is called with time in multiples of 16", "it is called with width in multiples of 8")
    net = Network(28, [Layer(cells.gla, {"S.rows": 4, "S.columns": 2}, heads=2, mapped=False)])
    fitted = subject.fitted(Case(net, 17, 2, (17, 3)))
    assert (fitted.steps, fitted.lengths, fitted.net.inputs) == (32, (32, 3), 64)
    case = Case(Network(3, [Layer(cells.gla, 8, heads=2)]), 5, 2)
    given = case.arrays("f64")
    with pytest.raises(UnsupportedError, match="must be a multiple of 16, as declared, got 5"):
        subject.run(case.net, given.params, given.inputs)


def test_numbers_that_it_declares_not_to_take_are_refused():
    subject = backend(theirs.scan_mingru, cells.mingru)
    for broken in (np.nan, 1e4):
        with pytest.raises(UnsupportedError, match="numbers must be finite and at most 500"):
            subject.recur(cells.mingru, {"z": np.full((3, 2, 4), broken), "h": np.ones((3, 2, 4))})


def unknown(q, k, v, a, factor):
    return q


def test_what_cannot_be_called_says_what_it_needs():
    calls = {
        r"every parameter must be an array of the cell.*x.a, x.k, x.q, x.v, S, got factor": lambda: unknown,
        r"must have one parameter, got none for x.v": lambda: lambda q, k, a: q,
        "it must be a function of arrays, got int": lambda: 3,
        "framework of an operator must be one of torch, jax, numpy": lambda: without_a_framework,
    }
    for words, give in calls.items():
        with pytest.raises(ArgumentError, match=words):
            operator("tests:op", give(), cells.gla)
    wrong = partial(theirs.chunk_gla)
    wrong.layout = {"inputs": "batch time head width"}
    with pytest.raises(ArgumentError, match=r"axes must be of time, batch.*got 'head' of 'inputs'"):
        operator("tests:op", wrong, cells.gla)
    wrong.layout = {"a": "x.b:"}
    with pytest.raises(ArgumentError, match=r"the layout of a must name what the cell has: x.a.*got x.b"):
        operator("tests:op", wrong, cells.gla)


without_a_framework = eval("lambda q, k, v, a: q", {"__builtins__": {}, "__name__": "none"})


def test_a_wrong_shape_is_told():
    def turned(z, h, initial_state):
        h, last = theirs.scan_mingru(z, h, initial_state)
        return h.swapaxes(0, 1), last

    def flat(z, h, initial_state):
        return theirs.scan_mingru(z, h, initial_state)[0].flatten(1), initial_state

    given = {"z": np.ones((3, 2, 4)), "h": np.ones((3, 2, 4))}
    with pytest.raises(Misshapen, match=r"must return \(3, 2\) steps and rows"):
        backend(turned, cells.mingru).recur(cells.mingru, given)
    with pytest.raises(Misshapen, match="outputs must have the axes time batch width"):
        backend(flat, cells.mingru).recur(cells.mingru, given)


def test_an_operator_that_overwrites_its_arguments_is_told():
    def writes(z, h, initial_state):
        z.data.mul_(2)
        return theirs.scan_mingru(z, h, initial_state)

    assert statuses(writes, cells.mingru, ("P160",))["P160"] == "error"


def test_layouts_turn_axes_and_back():
    layout = Layout({"inputs": "batch heads time width", "states": "batch heads columns rows",
                     "b": "batch time heads 1", "g": "x.a: heads batch time width"}, {"S": 2})  # fmt: skip
    a = np.arange(7 * 5 * 2 * 3.0).reshape(7, 5, 2, 3)
    assert layout.arranged("x.q", a).shape == (5, 2, 7, 3)
    assert layout.arranged("x.a", a, "g").shape == (2, 5, 7, 3)
    assert (layout.meant("g"), layout.has_heads) == ("x.a", True)
    number = a[..., :1]
    assert layout.arranged("x.b", number, "b").shape == (5, 7, 2, 1)
    state = np.arange(5 * 2 * 3 * 4.0).reshape(5, 2, 3, 4)
    assert layout.arranged("S", state).shape == (5, 2, 4, 3)
    for quantity, parameter, given in (("x.q", "", a), ("x.a", "g", a), ("x.b", "b", number), ("S", "", state)):
        there = layout.arranged(quantity, given, parameter)
        np.testing.assert_array_equal(layout.canonical(quantity, there, parameter), given)
    with pytest.raises(ArgumentError, match=r"axes of x.q must have heads"):
        Layout({"inputs": "batch time width"}).arranged("x.q", a)


def test_rows_are_packed_and_unpacked():
    packing, a = Packing(3, np.array([3, 0, 2])), np.arange(9.0).reshape(3, 3, 1)
    assert packing.cumulative.tolist() == [0, 3, 3, 5]
    assert packing.packed(a)[:, 0, 0].tolist() == [0, 3, 6, 2, 5]
    np.testing.assert_array_equal(packing.apart(packing.packed(a))[..., 0], [[0, 0, 2], [3, 0, 5], [6, 0, 0]])


def test_a_reproducer_names_the_operator():
    text = reproducer("P160", backend(theirs.chunk_gla, cells.gla), "case = 1")
    assert text == ("import conformance\ncase = 1\nconformance.reproduce('P160', case, 'tests:op', precision='f64', "
                    "device='cpu', as_operator='gla')\n")  # fmt: skip


def command(*arguments):
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "conformance", *arguments], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_the_command_tests_an_operator(tmp_path):
    file = tmp_path / "report.json"
    done = command("--op", "their_torch_operators:scan_mingru", "--as", "mingru", "--only", "P160", "--only", "P135",
                   "--tier", "smoke", "--precision", "f64", "--json", str(file))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [entry] = json.loads(file.read_text())["backends"]
    assert entry["name"] == "their_torch_operators:scan_mingru"


@pytest.mark.parametrize(("arguments", "words"), [
    (("--op", "their_torch_operators:scan_mingru"), "or --op, and --as belong together"),
    (("--op", "nowhere_at_all:thing", "--as", "gla"), "--op: it must be package:Thing"),
    (("--module", "torch.nn:LSTM", "--as", "lstm", "--without", "states"), "--without states is for --op, got none"),
])  # fmt: skip
def test_the_command_refuses_what_is_no_operator(arguments, words):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())


def test_the_doors_of_the_suite_take_operators():
    loaded = rnnspec.Backend
    from conformance.operators import load  # noqa: PLC0415

    made_here = load("their_torch_operators:chunk_gla", "gla", "f32", ("extremes",))
    assert isinstance(made_here, loaded)
    assert made_here.name == "their_torch_operators:chunk_gla"
