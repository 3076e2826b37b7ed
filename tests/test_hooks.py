"""Gradient control inside the recurrence: the gradient hooks, and truncation against chunks that torch detaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import rnnspec
from rnnspec import Layer, Network, cell, cells
from rnnspec.control.recurrence import STEP, trace_hook
from rnnspec.errors import EquationError, NetworkError, UnsupportedError
from rnnspec.policies import ClipStateByNorm, ClipStateByValue, Cut, Recurrence, Truncated
from rnnspec.primitives import maximum, minimum, tanh, total
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.tree import leaves, tree_map


def detached(net, params, inputs, outputs, final, k, lengths):
    """An LSTM in torch that detaches its states before the steps k, 2k, ...: gradients by its own differentiation."""

    def leaf(a):
        return torch.tensor(a, requires_grad=True)

    half = tree_map(leaf, params["layers"][0]["forward"])
    x = leaf(inputs)
    h, c = (torch.zeros(inputs.shape[1], 3, dtype=torch.float64) for _ in range(2))
    sum_of_all = 0.0
    for t in range(len(inputs)):
        before = h, c
        if t and t % k == 0:
            before = h.detach(), c.detach()
        gate = {n: x[t] @ half["W"][n].T + half["b"][n] + before[0] @ half["U"][n].T for n in "ifgo"}
        cell_state = torch.sigmoid(gate["f"]) * before[1] + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])
        new = torch.sigmoid(gate["o"]) * torch.tanh(cell_state)
        real = torch.tensor(t < lengths)[:, None]
        h, c = torch.where(real, new, h), torch.where(real, cell_state, c)
        sum_of_all = sum_of_all + (torch.where(real, new, 0.0) * torch.tensor(outputs[t])).sum()
    sum_of_all = sum_of_all + (h * torch.tensor(final["h"])).sum() + (c * torch.tensor(final["c"])).sum()
    sum_of_all.backward()
    return tree_map(lambda a: a.grad.numpy(), half), x.grad.numpy()


@pytest.mark.parametrize("k", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [7, 0, 4], [1, 6, 3]], ids=repr)
def test_truncation_is_what_detached_chunks_give(k, lengths, reference):
    net = Network(inputs=2, layers=[Layer(cells.lstm, hidden=3, gradient=Truncated(k))])
    rng = np.random.default_rng(k)
    params, inputs, lengths = net.init(k), rng.normal(size=(7, 3, 2)), np.array(lengths)
    outputs, final = rng.normal(size=(7, 3, 3)), {s: rng.normal(size=(3, 3)) for s in "hc"}
    found = reference.pullback(net, params, inputs, outputs, [{"forward": final}], lengths=lengths)
    own, x = detached(net, params, inputs, outputs, final, k, lengths)
    named = dict(leaves(found.params["layers"][0]["forward"]))
    for name, gradient in leaves(own):
        np.testing.assert_allclose(named[name], gradient, rtol=0, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(found.inputs, x, rtol=0, atol=1e-13)


def reached(reference, direction, lengths=None):
    """Which inputs, by time and row, the last processed step reaches under Truncated(3)."""
    net = Network(inputs=1, layers=[Layer(cells.elman, hidden=2, direction=direction, gradient=Truncated(3))],
                  read=rnnspec.Last())  # fmt: skip
    inputs = np.random.default_rng(0).normal(size=(8, 2, 1))
    return reference.pullback(net, net.init(0), inputs, np.ones((2, 2)), lengths=lengths).inputs[..., 0] != 0


def test_chunks_are_counted_from_each_row_s_first_processed_step(reference):
    lengths = np.array([8, 5])
    expected = np.zeros((8, 2), bool)
    expected[6:8, 0] = expected[3:5, 1] = True
    np.testing.assert_array_equal(reached(reference, "forward", lengths), expected)
    backwards = np.zeros((8, 2), bool)
    backwards[0:2, 0] = backwards[0:2, 1] = True
    np.testing.assert_array_equal(reached(reference, "reverse", lengths), backwards)


@dataclass(frozen=True)
class Held(Recurrence):
    """Each entry of what reaches a state held within a limit."""

    limit: float

    def total(self, step, cotangents):
        return {state: maximum(minimum(d, self.limit), -self.limit) for state, d in cotangents.items()}


@dataclass(frozen=True)
class Scaled(Recurrence):
    """What passes an edge, times a number."""

    by: float

    def carry(self, step, cotangents):
        return {state: self.by * d for state, d in cotangents.items()}


follow = cell(lambda x, h: h + x.h)
"""dL/dx_t is what reaches h_t."""


def cotangents_of(policy, reference, outputs, final=0.0, lengths=None):
    net = Network(inputs=1, layers=[Layer(follow, hidden=1, gradient=policy)])
    params = {"layers": [{"forward": {"W": {"h": np.ones((1, 1))}, "b": {"h": np.zeros(1)}, "U": {}, "p": {}}}]}
    steps, rows = np.shape(outputs)
    found = reference.pullback(net, params, np.zeros((steps, rows, 1)), np.array(outputs, float)[..., None],
                               [{"forward": {"h": np.full((rows, 1), final)}}], lengths=lengths)  # fmt: skip
    return found.inputs[..., 0].T.tolist(), found.state[0]["forward"]["h"][:, 0].tolist()


class TestSeams:
    def test_carry_acts_between_steps_and_not_on_the_first_and_final_state(self, reference):
        inputs, first = cotangents_of(Scaled(0.5), reference, [[1], [1], [1]], final=8.0)
        # step 2: 8 + 1; step 1: 9 / 2 + 1; step 0: 5.5 / 2 + 1; the initial state takes all of it
        assert (inputs, first) == ([[3.75, 5.5, 9]], [3.75])

    def test_total_acts_after_the_output_s_cotangent_is_added(self, reference):
        inputs, first = cotangents_of(Held(1.5), reference, [[1], [1], [1]], final=8.0)
        assert (inputs, first) == ([[1.5, 1.5, 1.5]], [1.5])
        inputs, first = cotangents_of(Held(1.5), reference, [[1], [-1], [1]])
        assert (inputs, first) == ([[1, 0, 1]], [1])

    def test_each_row_by_itself_and_to_its_own_end(self, reference):
        inputs, first = cotangents_of(Scaled(0.5), reference, [[1, 1, 1]] * 3, 8.0, np.array([3, 1, 0]))
        assert inputs == [[3.75, 5.5, 9], [9, 0, 0], [0, 0, 0]]
        assert first == [3.75, 9, 8]

    def test_a_norm_is_per_row_over_features(self, reference):
        @dataclass(frozen=True)
        class Unit(Recurrence):
            def total(self, step, cotangents):
                return {s: d / rnnspec.primitives.sqrt(total(d * d)) for s, d in cotangents.items()}

        net = Network(inputs=2, layers=[Layer(follow, hidden=2, gradient=Unit())])
        params = {"layers": [{"forward": {"W": {"h": np.eye(2)}, "b": {"h": np.zeros(2)}, "U": {}, "p": {}}}]}
        found = reference.pullback(net, params, np.zeros((1, 2, 2)), np.array([[[3.0, 4.0], [0.0, 2.0]]]))
        np.testing.assert_allclose(found.inputs[0], [[0.6, 0.8], [0, 1]], rtol=1e-15)

    def test_a_state_named_step_is_not_the_step(self, reference):
        mine = cell(lambda x, R, h, step: (tanh(x.h + R.h(step)), tanh(x.s + R.s(h))))
        layers = [[Layer(mine, hidden=2, gradient=policy)] for policy in (None, Scaled(1.0))]
        rng = np.random.default_rng(0)
        inputs, outputs = rng.normal(size=(5, 2, 1)), rng.normal(size=(5, 2, 2))
        plain, seamed = (
            reference.pullback(net, net.init(0), inputs, outputs).inputs for net in (Network(1, one) for one in layers)
        )
        np.testing.assert_allclose(seamed, plain, rtol=0, atol=1e-15)

    def test_policies_leave_values_alone(self, reference):
        inputs = np.random.default_rng(0).normal(size=(5, 2, 1))
        nets = [Network(1, [Layer(cells.lstm, hidden=2, gradient=g)]) for g in (None, Truncated(2), Held(0.1))]
        first, *others = (reference.run(net, net.init(0), inputs).outputs for net in nets)
        for other in others:
            np.testing.assert_array_equal(first, other)


def seen(policy, hook, step=1.0, **cotangents):
    """What a hook makes of the cotangents of states, each a list over rows of features."""
    given = {name: np.array(d, float) for name, d in cotangents.items()}
    graph = trace_hook(policy, hook, tuple(given))
    arrays = rnnspec.Backend(None, "f64").arrays
    with np.errstate(all="ignore"):
        found = given if graph is None else evaluate_graph(arrays, graph, {**given, STEP: arrays.as_scalar(step)})
    return {name: np.broadcast_to(d, given[name].shape).tolist() for name, d in found.items()}


NAN, INF = np.nan, np.inf


class TestOwnPolicies:
    def test_a_cut_is_of_the_states_that_it_names(self):
        given = {"h": [[1.0, NAN]], "c": [[INF, 3.0]]}
        assert seen(Cut(), "carry", **given) == {"h": [[0, 0]], "c": [[0, 0]]}
        assert seen(Cut(("c",)), "carry", h=[[1.0, 2.0]], c=[[INF, 3.0]]) == {"h": [[1, 2]], "c": [[0, 0]]}
        assert trace_hook(Cut(), "total", ("h", "c")) is None

    def test_values_are_held_entry_by_entry(self):
        found = seen(ClipStateByValue(2.0), "total", h=[[3, -3, 2], [1, INF, -INF]])
        assert found == {"h": [[2, -2, 2], [1, 2, -2]]}
        assert np.isnan(seen(ClipStateByValue(2.0), "total", h=[[NAN, 5]])["h"][0][0])
        assert seen(ClipStateByValue(1.0, ("c",)), "total", h=[[3]], c=[[3]]) == {"h": [[3]], "c": [[1]]}
        assert trace_hook(ClipStateByValue(1.0), "carry", ("h",)) is None

    def test_norms_are_held_row_by_row_and_state_by_state(self):
        found = seen(ClipStateByNorm(2.5), "total", h=[[3, 4], [1, 0], [0, 0]], c=[[0, 2.5], [5, 0], [0, 0]])
        assert found == {"h": [[1.5, 2], [1, 0], [0, 0]], "c": [[0, 2.5], [2.5, 0], [0, 0]]}

    def test_a_joint_norm_is_over_all_named_states(self):
        found = seen(ClipStateByNorm(2.5, joint=True), "total", h=[[3], [1]], c=[[4], [1]])
        assert found == {"h": [[1.5], [1]], "c": [[2], [1]]}
        found = seen(ClipStateByNorm(2.5, ("h", "c"), joint=True), "total", h=[[3]], c=[[4]], n=[[9]])
        assert found == {"h": [[1.5]], "c": [[2]], "n": [[9]]}

    @pytest.mark.parametrize("spoilt", [NAN, INF, -INF, 1e200], ids=repr)
    def test_a_norm_that_is_not_finite_makes_its_row_nan_and_no_other(self, spoilt):
        found = seen(ClipStateByNorm(1.0), "total", h=[[spoilt, 1], [0.5, 0]])["h"]
        assert np.isnan(found[0]).all()
        assert found[1] == [0.5, 0]

    def test_a_limit_of_zero_gives_zeros(self):
        assert seen(ClipStateByNorm(0.0), "total", h=[[3, 4], [0, 0]]) == {"h": [[0, 0], [0, 0]]}
        assert seen(ClipStateByValue(0.0), "total", h=[[3, -4]]) == {"h": [[0, 0]]}

    @pytest.mark.parametrize("made", [
        lambda: Cut("h"), lambda: Cut(()), lambda: Cut((1,)), lambda: ClipStateByNorm(-1.0),
        lambda: ClipStateByValue(NAN), lambda: ClipStateByNorm(1.0, ["h"]),
        lambda: Layer(cells.gru, hidden=2, gradient=Cut(("c",))),
        lambda: Layer(cells.lstm, hidden=2, gradient=ClipStateByNorm(1.0, ("h", "x"))),
    ])  # fmt: skip
    def test_a_wrong_declaration_is_refused_before_anything_runs(self, made):
        with pytest.raises(NetworkError, match=r"states|limit"):
            made()

    @pytest.mark.parametrize("policy", [Cut(), Cut(("h",)), ClipStateByValue(0.5), ClipStateByNorm(0.5, ("h",), True)])
    def test_a_file_names_them(self, policy, tmp_path):
        net = Network(1, [Layer(cells.lstm, hidden=2, gradient=policy)])
        rnnspec.save(tmp_path / "net", net, net.init(0))
        assert rnnspec.load(tmp_path / "net")[0].layers[0].gradient == policy


def test_a_seam_that_is_not_written_needs_no_work():
    assert trace_hook(Truncated(2), "total", ("h",)) is None
    assert trace_hook(Recurrence(), "carry", ("h", "c")) is None


class Forgetful(Recurrence):
    """Drops a state."""

    def carry(self, step, cotangents):
        return {}


class Foreign(Recurrence):
    """Not written in the primitives."""

    def carry(self, step, cotangents):
        return {s: np.clip(d, -1, 1) for s, d in cotangents.items()}


class Branching(Recurrence):
    """Asks for a number that is not there yet."""

    def carry(self, step, cotangents):
        return cotangents if step > 3 else {}


@pytest.mark.parametrize("policy", [Forgetful(), Foreign(), Branching()], ids=lambda p: type(p).__name__)
def test_a_seam_that_is_not_written_in_the_primitives_is_refused(policy):
    with pytest.raises(EquationError):
        trace_hook(policy, "carry", ("h",))


@dataclass(frozen=True)
class Doubled(Recurrence):
    """It asks which step it is only to make a number of one feature."""

    def total(self, step, cotangents):
        return {state: cotangent + 0.0 * step for state, cotangent in cotangents.items()}


def test_a_policy_that_asks_which_step_it_is_needs_a_precision_that_counts(open_backend):
    backend = open_backend("jax", "bf16")
    for policy, steps, refused in ((Truncated(35), 256, False), (Truncated(35), 257, True), (Cut(), 257, False),
                                   (ClipStateByNorm(1.0), 257, False), (Doubled(), 257, False)):  # fmt: skip
        net = Network(2, [Layer(cells.elman, 2, gradient=policy)])
        given = net, net.init(0), np.zeros((steps, 1, 2)), np.zeros((steps, 1, 2))
        backend.run(*given[:3])
        if refused:
            with pytest.raises(UnsupportedError, match=r"bf16 must count the steps exactly, up to 256.*got 257 steps"):
                backend.pullback(*given)
        else:
            assert np.isfinite(np.asarray(backend.pullback(*given).inputs, float)).all()
