"""Gradient control: the conventions that `rnnspec.policies` writes down, and truncation against detached chunks."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from rnnspec import Layer, Network, cells, losses, policies
from rnnspec.control.rule import chain, trace
from rnnspec.errors import NetworkError, UnsupportedError
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByUnitNorm, ClipByValue, Truncated
from rnnspec.tree import tree_map
from rnnspec.updates import SGD

NAN, INF = np.nan, np.inf


def controlled(rule, gradients, reference, weights=None):
    """What a rule makes of a tree of gradients: the change that SGD of rate 1 makes, turned around."""
    chained = chain(rule, SGD(1.0))
    params = tree_map(np.zeros_like, gradients) if weights is None else weights
    traced = trace(chained, params, chained.init(params))
    program = reference.program(rnnspec.execution.update, *traced)
    (new, _), _ = program(params, chained.init(params), gradients, np.float64(1.0))
    return tree_map(np.subtract, params, new)


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


class TestUnits:
    """Rows of maps, entries of vectors; weights are chosen so that nothing is rounded."""

    def held(self, rule, gradient, weight, reference):
        given = {"w": np.array(gradient, float)}, reference, {"w": np.array(weight, float)}
        return controlled(rule, *given)["w"]

    def test_rows_of_maps_and_entries_of_vectors(self, reference):
        rule = ClipByUnitNorm(0.5, 0.25)
        found = self.held(rule, [[12, 16], [0.5, 0]], [[8, 0], [0, 2]], reference)
        np.testing.assert_array_equal(found, [[2.4000000000000004, 3.2], [0.5, 0]])
        np.testing.assert_array_equal(self.held(rule, [8, -8, 0.5], [8, -2, 1], reference), [4, -1, 0.5])

    def test_small_weights_have_the_limit_of_epsilon(self, reference):
        rule = ClipByUnitNorm(0.5, 0.25)
        found = self.held(rule, [1, 0.125, 0.0625], [0, 0.25, 0], reference)
        np.testing.assert_array_equal(found, [0.125, 0.125, 0.0625])
        np.testing.assert_array_equal(self.held(ClipByUnitNorm(0.5, 0.0), [1, 0], [0, 0], reference), [0, 0])

    @pytest.mark.parametrize("spoilt", [NAN, INF, -INF, 1e200], ids=repr)
    def test_a_norm_that_is_not_finite_makes_its_unit_nan_and_no_other(self, spoilt, reference):
        found = self.held(ClipByUnitNorm(0.5), [[spoilt, 1], [0.5, 0]], [[1, 1], [1, 1]], reference)
        assert np.isnan(found[0]).all()
        np.testing.assert_array_equal(found[1], [0.5, 0])

    def test_weights_that_are_not_finite(self, reference):
        given = {"w": np.ones((2, 2))}, {"w": np.array([[NAN, 1], [INF, 1]])}
        traced = trace(ClipByUnitNorm(0.5), given[1], ())
        found = rnnspec.lowering.evaluate_graph(
            reference.arrays, traced[0], {"gradients.w": given[0]["w"], "params.w": given[1]["w"]}, axes=None
        )["changes.w"]
        assert np.isnan(found[0]).all()
        np.testing.assert_array_equal(found[1], [1, 1])

    def test_a_norm_at_the_limit_is_left(self, reference):
        np.testing.assert_array_equal(self.held(ClipByUnitNorm(0.625), [[3, 4]], [[0, 8]], reference), [[3, 4]])


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

    def reduced(other):
        return lambda squares: sent.append(squares) or squares + other

    found = [
        controlled(ClipByGlobalNorm(1.0, reduce=reduced(other)), shard, reference)["w"]
        for shard, other in zip(shards, (16.0, 9.0), strict=True)
    ]
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
    assert set(policies.__all__) == {"ClipByGlobalNorm", "ClipByNorm", "ClipByUnitNorm", "ClipByValue",
                                     "ClipStateByNorm", "ClipStateByValue", "Cut", "RaiseNonFinite", "Recurrence",
                                     "ScaleLoss", "SkipNonFinite", "Truncated", "ZeroNonFinite"}  # fmt: skip
