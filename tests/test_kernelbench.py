"""The KernelBench problems: what their tolerance accepts, on one that is small, and what the page says."""

from dataclasses import replace

import pytest
import torch


@pytest.fixture
def script(figures):
    return figures("kernelbench")


@pytest.fixture
def wrong(figures):
    return {kernel.name: kernel for kernel in figures("wrong_kernels").WRONG}


def small(script, number):
    problem = next(problem for problem in script.PROBLEMS if problem.number == number)
    return replace(problem, steps=80, batch=3, inputs=5, hidden=6, layers=2)


def test_the_last_output_of_an_lstm_does_not_tell_a_kernel_that_skips_steps(script, wrong):
    """Default initial values forget; the same kernel is refused where every output is read."""
    kernels = (wrong["last_32"], wrong["nothing"])
    last, zeros = script.measured(small(script, 35), kernels)
    assert last["accepted"]
    assert 0 < last["difference"] < script.TOLERANCE
    assert not zeros["accepted"]
    assert not any(row["accepted"] for row in script.measured(small(script, 39), kernels))


def test_a_kernel_is_right_for_short_sequences_alone(script, wrong):
    problem = small(script, 39)
    for kernel in wrong.values():
        least = replace(problem, steps=kernel.longer)
        assert not torch.equal(least.answer(), least.answer(kernel)), kernel.name
        if kernel.longer > 1:
            below = replace(problem, steps=kernel.longer - 1)
            assert torch.equal(below.answer(), below.answer(kernel)), kernel.name


def test_the_suite_refuses_what_the_tolerance_accepts(script, wrong, monkeypatch):
    monkeypatch.setattr(script, "LAWS", ("P01",))
    monkeypatch.setattr(script, "SHAPES", (script.Shape(2, 40, 2, 3),))
    assert script.judged("LSTM", wrong["last_16"])["refused_by"] == ["P01"]
