"""Exported programs judged as backends: right ones conform, and each planted fault is told."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from exported_faults import CASES, FAULTS
from hypothesis import HealthCheck, Phase, given, settings

from conformance import exported
from conformance.cases import Case, drawn_cell_cases
from conformance.command import _exported
from conformance.judge import Failure, IllPosed, Judge, NotApplicable
from conformance.registry import properties
from conformance.running.reproducer import code, reproducer
from rnnspec import Dense, Last, Layer, Network, cells
from rnnspec.errors import BrokenBackend, UnsupportedError

LAWS = {law.id: law for law in properties()}


def ask(backend, case, law="P01"):
    LAWS[law](backend, case, Judge(backend))


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_right_program_passes(target, case):
    ask(exported.load(f"exported:{target}", "f64"), case)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.target}: {fault.says}")
def test_a_faulty_program_is_told(fault):
    with pytest.raises((Failure, BrokenBackend)):
        ask(fault.backend, CASES[fault.case])


@pytest.mark.parametrize(("target", "count"), [("numpy", 30), ("c", 12)])
def test_cells_that_nobody_thought_of_have_the_values_of_the_oracle(target, count):
    backend, passed = exported.load(f"exported:{target}", "f64"), []

    @settings(max_examples=count, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(drawn_cell_cases())
    def drawn(case):
        with suppress(IllPosed, NotApplicable):
            ask(backend, case)
            passed.append(case)

    drawn()
    assert len(passed) > count // 2


EPISODES = {
    "forward": Network(3, [Layer(cells.gru, 4), Layer(cells.lstm, 3)], output=Dense(2)),
    "both ways": Network(3, [Layer(cells.gru, 4, "bidirectional"), Layer(cells.lstm, 3, "reverse")]),
    "learned states": Network(3, [Layer(cells.gru, 4, "bidirectional", learned_state=True), Layer(cells.lstm, 3)]),
    "last of reverse": Network(3, [Layer(cells.gru, 4, "bidirectional"), Layer(cells.lstm, 3, "reverse")], Last()),
}


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("net", EPISODES.values(), ids=EPISODES)
def test_resets_are_sequences_of_their_own(target, net):
    backend = exported.load(f"exported:{target}", "f64")
    for seed in range(3):
        ask(backend, Case(net, 6, 4, lengths=(6, 0, 3, 5), resets=0.4, seed=seed), "P130")


@pytest.mark.parametrize("target", ["numpy", "c"])
def test_streams_are_judged(target):
    backend = exported.load(f"exported:{target}", "f64")
    ask(backend, Case(EPISODES["forward"], 5, 3), "P145")


@pytest.mark.parametrize("target", ["numpy", "c"])
def test_an_exported_network_has_no_gradients(target):
    backend, case = exported.load(f"exported:{target}", "f32"), CASES["lstm"]
    given = case.arrays("f32")
    with pytest.raises(UnsupportedError, match="gradients"):
        backend.pullback(case.net, given.params, given.inputs, given.output_cotangent)


def test_a_failure_can_be_pasted():
    text = reproducer("P01", exported.load("exported:c", "f64"), code(CASES["lstm"]))
    assert text.rstrip().endswith("conformance.reproduce('P01', case, 'exported:c', precision='f64', device='cpu')")
    exec(text, {})


def test_the_command_judges_what_is_exported():
    asked = ("--exported", "c", "--no-speed", "--only", "P01", "--cell", "gru", "--precision",
             "f64", "--tier", "smoke", "--examples", "1")  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "conformance", *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "exported:c f64: P01 pass" in done.stdout


def test_a_target_that_is_none_is_refused():
    with pytest.raises(Exception, match="--exported must name a target, got 'cc'; did you mean 'c'"):
        _exported(["cc"])
    assert _exported(["c", "c"]) == ("exported:c",)
