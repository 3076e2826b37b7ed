"""Gradient control: the conventions that `rnnspec.policies` writes down, and truncation against detached chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import rnnspec
from rnnspec import Layer, Network, cell, cells, losses, policies
from rnnspec.errors import EquationError, NetworkError, UnsupportedError
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByValue, Recurrence, Truncated, trace_seam
from rnnspec.primitives import maximum, minimum, tanh, total
from rnnspec.rule import chain, trace
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import SGD

NAN, INF = np.nan, np.inf


def controlled(rule, gradients, reference):
    """What a rule makes of a tree of gradients: the change that SGD of rate 1 makes, turned around."""
    chained = chain(rule, SGD(1.0))
    params = tree_map(np.zeros_like, gradients)
    traced = trace(chained, params, chained.init(params))
    program = reference.program(rnnspec.execution.update, *traced)
    (new, _), _ = program(params, chained.init(params), gradients, np.float64(1.0))
    return tree_map(np.negative, new)


def one(rule, gradient, reference):
    return controlled(rule, {"w": np.array(gradient, float)}, reference)["w"]


class TestClipByValue:
    @pytest.mark.parametrize(("before", "after"), [([3, -3, 1, -1, 0.5], [2, -2, 1, -1, 0.5]), ([2, -2], [2, -2]),
                                                   ([INF, -INF], [2, -2]), ([NAN, 5], [NAN, 2])], ids=repr)  # fmt: skip
    def test_each_entry(self, before, after, reference):
        np.testing.assert_array_equal(one(ClipByValue(2.0), before, reference), after)

    def test_a_limit_of_zero(self, reference):
        np.testing.assert_array_equal(one(ClipByValue(0), [3, -3, 0], reference), [0, 0, 0])


@pytest.mark.parametrize("rule", [ClipByNorm, ClipByGlobalNorm])
class TestNorms:
    def test_a_norm_above_the_limit_becomes_the_limit_without_an_epsilon(self, rule, reference):
        np.testing.assert_array_equal(one(rule(2.5), [3, 4], reference), [1.5, 2])

    def test_a_norm_at_the_limit_is_left(self, rule, reference):
        gradient = np.array([3.0, 4.0]) / 7
        norm = np.sqrt((gradient * gradient).sum())
        np.testing.assert_array_equal(one(rule(float(norm)), gradient, reference), gradient)
        below = float(np.nextafter(norm, 0))
        assert np.abs(one(rule(below), gradient, reference)).max() <= np.abs(gradient).max()

    def test_a_norm_below_the_limit_is_left(self, rule, reference):
        np.testing.assert_array_equal(one(rule(5.1), [3, 4], reference), [3, 4])

    @pytest.mark.parametrize("limit", [0, 0.0, 1.0, INF])
    def test_a_norm_of_zero_changes_nothing(self, rule, limit, reference):
        np.testing.assert_array_equal(one(rule(limit), [0, 0], reference), [0, 0])

    def test_a_limit_of_zero_gives_zeros(self, rule, reference):
        np.testing.assert_array_equal(one(rule(0), [3, 4], reference), [0, 0])

    def test_an_infinite_limit_leaves_everything(self, rule, reference):
        np.testing.assert_array_equal(one(rule(INF), [3e100, 4], reference), [3e100, 4])

    @pytest.mark.parametrize("spoilt", [NAN, INF, -INF, 1e200], ids=repr)
    def test_a_norm_that_is_not_finite_makes_nan_and_hides_nothing(self, rule, spoilt, reference):
        assert np.isnan(one(rule(1.0), [spoilt, 1.0], reference)).all()


def test_by_norm_is_per_map_and_global_over_all(reference):
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[0.0], [4.0]])}
    each = controlled(ClipByNorm(1.0), gradients, reference)
    np.testing.assert_array_equal(each["a"], [1, 0])
    np.testing.assert_array_equal(each["b"], [[0], [1]])
    both = controlled(ClipByGlobalNorm(1.0), gradients, reference)
    np.testing.assert_allclose(both["a"], [0.6, 0], rtol=1e-15)
    np.testing.assert_allclose(both["b"], [[0], [0.8]], rtol=1e-15)


def test_a_spoilt_map_spoils_only_itself_by_norm_and_all_globally(reference):
    gradients = {"a": np.array([NAN]), "b": np.array([4.0])}
    assert controlled(ClipByNorm(1.0), gradients, reference)["b"] == 1
    assert np.isnan(controlled(ClipByGlobalNorm(1.0), gradients, reference)["b"])


def test_the_global_norm_is_summed_over_shards_by_reduce(reference):
    shards = [{"w": np.array([3.0])}, {"w": np.array([4.0])}]
    sent = []
    found = [controlled(ClipByGlobalNorm(1.0, reduce=lambda s: sent.append(s) or s + other), shard, reference)["w"]
             for shard, other in zip(shards, (16.0, 9.0), strict=True)]  # fmt: skip
    np.testing.assert_allclose(np.concatenate(found), [0.6, 0.8], rtol=1e-15)
    assert sent == [9.0, 16.0], "one scalar, the sum of squares"


@pytest.mark.parametrize("rule", [ClipByValue, ClipByNorm, ClipByGlobalNorm])
@pytest.mark.parametrize("limit", [-1, -0.5, NAN, "1", None, True, [1.0]], ids=repr)
def test_a_wrong_limit_is_refused(rule, limit):
    with pytest.raises(NetworkError, match="limit"):
        rule(limit)


@pytest.mark.parametrize("steps", [0, -1, 1.0, "2", None, True], ids=repr)
def test_a_wrong_truncation_is_refused(steps):
    with pytest.raises(NetworkError, match="steps"):
        Truncated(steps)


def detached(net, params, inputs, outputs, final, k, lengths):
    """An LSTM in torch that detaches its states before the steps k, 2k, ...: the gradients by its own differentiation."""
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
    """Which (time, row) of the inputs the first row-summed output at the last processed step reaches, under Truncated(3)."""
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


def test_a_seam_that_is_not_written_needs_no_work():
    assert trace_seam(Truncated(2), "total", ("h",)) is None
    assert trace_seam(Recurrence(), "carry", ("h", "c")) is None


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
        trace_seam(policy, "carry", ("h",))


def test_a_backend_without_policies_refuses_them():
    class Plain(rnnspec.Backend):
        name = "plain"
        capabilities = rnnspec.Capabilities(policies=False)

    net = Network(1, [Layer(cells.elman, hidden=2, gradient=Truncated(2))], loss=losses.SquaredError())
    inputs = np.zeros((3, 2, 1))
    Plain().run(net, net.init(0), inputs)
    with pytest.raises(UnsupportedError, match="policies"):
        Plain().pullback(net, net.init(0), inputs, np.zeros((3, 2, 2)))


def test_every_policy_is_public():
    assert set(policies.__all__) == {"ClipByGlobalNorm", "ClipByNorm", "ClipByValue", "Recurrence", "Truncated"}
