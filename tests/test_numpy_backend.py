"""Planned programs against the generic lowering: odd cells, ragged rows, reused arrays, many threads."""

from __future__ import annotations

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest

import rnnspec
from backends.numpy_backend.backend import NumpyBackend
from backends.numpy_backend.functions import FUNCTIONS
from backends.numpy_backend.program import RUNS_KEPT, Program
from backends.planning.planner import plan
from backends.planning.rewriting import Logistic
from conformance.cases import CELLS
from conformance.own_cell import leaky_gate
from rnnspec.derivation.schedule import schedule
from rnnspec.policies import Recurrence
from rnnspec.primitives import exp, log, logsumexp, maximum, minimum, relu, sigmoid, softplus, sqrt, tanh, total, where
from rnnspec.tree import leaves, tree_map


@rnnspec.cell
def every_primitive(x, R, p, h, s):
    a = softplus(x.a + R.a(h))
    b = where(a > p.t, exp(-a), sqrt(a + 1.0))
    y = R.y(b) * maximum(x.y, 0.1) + total(h)
    new = 0.5 * s + logsumexp(b) * p.q / (1.0 + s * s) + log(a + 1)
    return rnnspec.out(y), tanh(R.k(s) + minimum(x.h, 1.0) * relu(x.g)), new


@rnnspec.cell
def memoryless(x, R, h):
    return tanh(x.h)


@rnnspec.cell
def twins(x, R, h, c):
    v = tanh(x.h + R.h(h) + R.k(c))
    return v, v


@rnnspec.cell
def delay(x, R, h, c):
    return tanh(x.h + R.h(h) + R.k(c)), h


@rnnspec.cell
def shared_map(x, R, p, h, c):
    return sigmoid(x.h + R.k(h) + p.a * c) * tanh(R.k(c) + p.a), c * 0.5 + h * p.a


@rnnspec.cell
def map_of_a_map(x, R, p, h):
    return sigmoid(R.b(tanh(R.a(h) + p.a))) * sigmoid(p.z) + sigmoid(h) * 0.1 + x.h


WIDTHS = {
    "lstm_projected": {"h": 3, "c": 4},
    "every_primitive": {"h": 4, "s": 3, "y.R": 3, "x.y": 2},
    "map_of_a_map": {"h": 4, "R.a": 3},
}
PLANNED = [*CELLS.values(), every_primitive, memoryless, twins, delay, shared_map, map_of_a_map]


class Halved(Recurrence):
    """Acts at both hooks."""

    def carry(self, step, cotangents):
        return {state: 0.5 * cotangent for state, cotangent in cotangents.items()}

    def total(self, step, cotangents):
        return {state: minimum(cotangent, 0.3 + 0.01 * step) for state, cotangent in cotangents.items()}


def case(cell, steps, batch, lengths, policy=None, seed=0):
    rng = np.random.default_rng(seed)
    hidden = WIDTHS.get(cell.name, 4)
    layers = [rnnspec.Layer(cell, hidden, "bidirectional", policy), rnnspec.Layer(cell, hidden, "reverse")]
    net = rnnspec.Network(3, layers, output=rnnspec.Dense(2))
    params = tree_map(lambda a: rng.normal(size=a.shape) / 2, net.init(0))
    inputs = rng.normal(size=(steps, batch, 3))
    if lengths is not None:
        inputs[np.arange(steps)[:, None] >= lengths] = np.nan
    state = drawn_state(net, batch, rng)
    return net, params, inputs, rng.normal(size=(steps, batch, 2)), drawn_state(net, batch, rng), state, lengths


def drawn_state(net, batch, rng):
    return [{half: {name: rng.normal(size=(batch, width)) for name, width in layer.state_sizes.items()}
             for half in layer.halves} for layer in net.layers]  # fmt: skip


def everything(backend, net, params, inputs, cotangent, state_cotangent, state, lengths):
    ran = backend.run(net, params, inputs, state, lengths)
    pulled = backend.pullback(net, params, inputs, cotangent, state_cotangent, state, lengths)
    return dict(leaves([ran.outputs, ran.state, pulled.params, pulled.inputs, pulled.state]))


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("cell", PLANNED, ids=lambda cell: cell.name)
def test_a_planned_program_gives_what_the_generic_lowering_gives(cell, name, open_backend, reference):
    """Batches of one row and of several, ragged and not, policies in turn, on one backend that reuses its arrays."""
    planned, policies = open_backend(name, "f64"), cycle((None, rnnspec.policies.Truncated(2), Halved()))
    rng = np.random.default_rng(1)
    for steps, batch in ((5, 4), (1, 1), (9, 6), (3, 1), (4, 4)):
        for lengths in (None, rng.integers(0, steps + 1, batch), np.full(batch, steps), np.zeros(batch, int)):
            given = case(cell, steps, batch, lengths, next(policies))
            expected, found = everything(reference, *given), everything(planned, *given)
            for leaf, array in expected.items():
                np.testing.assert_allclose(planned.to_numpy(found[leaf]), array, 1e-9, 1e-11, err_msg=leaf)


def test_a_path_says_that_a_program_was_planned(open_backend):
    given = case(rnnspec.cells.lstm, 3, 2, None)
    result = open_backend("numpy", "f32").run(*given[:3])
    assert result.path == (
        ("layers.0.forward", "planned"), ("layers.0.reverse", "planned"), ("layers.1.reverse", "planned"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "form", "forward", "backward"),
    [("lstm", Logistic.TANGENT, 10, 6), ("lstm", Logistic.EXPONENTIAL, 11, 6), ("gru", Logistic.TANGENT, 13, 4),
     ("gru", Logistic.EXPONENTIAL, 13, 4), ("elman", Logistic.TANGENT, 3, 2),
     ("lstm_peephole", Logistic.TANGENT, 18, 8)],
)  # fmt: skip
def test_gates_of_one_kind_are_one_call(cell, form, forward, backward):
    declared = getattr(rnnspec.cells, cell)
    planned = plan(schedule(declared), tuple(sorted(declared.widths(8).items())), form)
    assert (len(planned.step), len(planned.pull_step)) == (forward, backward)


def test_products_of_one_carried_value_are_one_call_and_so_is_what_chooses_among_them():
    widths = leaky_gate.widths({"h": 8, "m": 8, "R.k": 6})
    planned = plan(schedule(leaky_gate), tuple(sorted((n, width) for n, width in widths.items() if n)))
    joined = [call.op for call in planned.pull_step if call.count > 1]
    assert joined == ["multiply", "where", "multiply"]
    assert len(planned.pull_step) == 23


def test_many_threads_share_one_backend():
    """Every call has arrays of its own while it runs: results are those of one thread, to the bit."""
    backend = rnnspec.get_backend("numpy", precision="f32")
    given = [case(rnnspec.cells.gru, 6, 3, None if seed % 2 else np.array([6, 2, 0]), seed=seed) for seed in range(8)]
    expected = [everything(backend, *each) for each in given]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: everything(backend, *each), given * 20))
    for i, results in enumerate(found):
        for name, array in expected[i % len(given)].items():
            assert np.array_equal(results[name], array), name


def test_calls_of_many_lengths_keep_no_more_than_a_few_of_the_longest():
    backend, net = NumpyBackend(precision="f64"), rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.gru, 3)])
    params = net.init(0)
    for steps in [24, *range(1, 24)]:
        backend.pullback(net, params, np.ones((steps, 1, 2)), np.ones((steps, 1, 3)))
    pulled = [p for p in gc.get_objects() if type(p) is Program and p.pull_runs and p.workspace.capacity == 24]
    assert pulled
    assert all(sum(high - low for low, high in p.pull_runs) <= RUNS_KEPT * 24 for p in pulled)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_negation_in_place_reads_its_own_elements(dtype):
    """NumPy's own reads others in some strided views."""
    for rows, columns in itertools.product((2, 4, 5, 9), range(1, 12)):
        for column in range(columns):
            whole = np.arange(1, 1 + rows * columns, dtype=dtype).reshape(rows, columns)
            kept, view = whole.copy(), whole[:, column : column + 1]
            FUNCTIONS["negate"](view, view)
            np.testing.assert_array_equal(view, -kept[:, column : column + 1])
