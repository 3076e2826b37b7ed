"""Programs are kept by what they were compiled for, and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from rnnspec import Layer, Network, cells, losses, policies
from rnnspec.errors import NetworkError
from rnnspec.running import programs
from rnnspec.running.programs import Programs, is_empty
from rnnspec.tracing.graph import GraphBuilder


def run(backend, *arguments):
    return arguments, None


def pullback(backend, *arguments):
    return arguments, None


def graph(*numbers):
    builder = GraphBuilder()
    return builder.graph({str(place): builder.constant(number) for place, number in enumerate(numbers)})


@pytest.fixture
def kept():
    return Programs(lambda function, constants, arguments: lambda *arrays: (function, None))


X = np.zeros((2, 3), np.float32)


def test_equal_declarations_and_shapes_share_a_program(kept):
    nets = [Network(3, [Layer(cells.lstm, hidden=4, gradient=policies.Truncated(2))]) for _ in range(2)]
    found = {kept.of(run, (net,), ({"W": [x]}, None)) for net, x in zip(nets, (X, X + 1), strict=True)}
    assert (len(found), kept.compiled) == (1, 1)


def test_graphs_share_a_program_by_their_numbers_not_a_number_among_them(kept):
    assert kept.of(run, (graph(0.5, float("nan")),), (X,)) is kept.of(run, (graph(0.5, float("nan")),), (X,))
    kept.of(run, (graph(0.25, float("nan")),), (X,))
    assert kept.compiled == 2


@pytest.mark.parametrize("other", [
    (pullback, (Network(3, [Layer(cells.lstm, 4)]),), ({"W": X}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4)], loss=losses.SquaredError()),), ({"W": X}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4, gradient=policies.Truncated(2))]),), ({"W": X}, None)),
    (run, (Network(3, [Layer(cells.gru, 4)]),), ({"W": X}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4)]),), ({"U": X}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4)]),), ({"W": X}, X)),
    (run, (Network(3, [Layer(cells.lstm, 4)]),), ({"W": X.T}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4)]),), ({"W": X.astype(float)}, None)),
    (run, (Network(3, [Layer(cells.lstm, 4)]), {"h": "c"}), ({"W": X}, None)),
], ids=["function", "loss", "policy", "cell", "name", "lengths", "shape", "dtype", "names"])  # fmt: skip
def test_whatever_differs_is_compiled_by_itself(kept, other):
    kept.of(run, (Network(3, [Layer(cells.lstm, 4)]),), ({"W": X}, None))
    kept.of(*other)
    assert kept.compiled == 2


def test_the_longest_unused_is_dropped(kept, monkeypatch):
    monkeypatch.setattr(programs, "MOST_KEPT", 2)
    for letter in "abacab":
        kept.of(run, (letter,), (X,))
    assert kept.compiled == 4
    assert len(kept.kept) == 2


def test_a_program_that_does_not_compile_is_not_kept():
    failing = Programs(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.of(run, (), (X,))
    assert (failing.compiled, len(failing.kept)) == (0, 0)


def test_a_policy_that_cannot_be_a_key_is_refused(kept):
    @dataclass
    class Mutable(policies.Recurrence):
        limit: float = 1.0

    with pytest.raises(NetworkError, match="hashable"):
        kept.of(run, (Network(3, [Layer(cells.lstm, 4, gradient=Mutable())]),), (X,))


def test_empty_is_what_holds_no_number():
    assert is_empty(({"W": X}, np.zeros((0, 2)), None))
    assert not is_empty(({"W": X}, None, ()))
