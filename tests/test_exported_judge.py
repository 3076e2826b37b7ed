"""Exported programs judged as backends: right ones conform, and each planted fault is told."""

from __future__ import annotations

import numpy as np
import pytest
from exported_faults import CASES, FAULTS
from typer.testing import CliRunner

import rnnspec
from conformance import exported
from conformance.cases import Case, load_cell
from conformance.command import app
from conformance.judge import Failure, Judge
from conformance.registry import properties
from conformance.running.reproducer import reproducer
from rnnspec import Dense, Last, Layer, Network, cells
from rnnspec.errors import BrokenBackend, UnsupportedError
from rnnspec.interface.backend import Backend
from rnnspec.tree import leaves

LAWS = {law.id: law for law in properties()}


def ask(backend, case):
    LAWS["P01"](backend, case, Judge(backend))


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_right_program_passes(target, case):
    ask(exported.load(f"exported:{target}", "f64"), case)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.target}: {fault.says}")
def test_a_faulty_program_is_told(fault):
    with pytest.raises((Failure, BrokenBackend)):
        ask(fault.backend, CASES[fault.case])
