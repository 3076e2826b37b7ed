"""Sixteen bits: right backends are not accused, and one that keeps a sum in sixteen bits is."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch

from backends.torch_backend.arrays import TorchArrays
from backends.torch_backend.backend import TorchBackend
from conformance import oracle, tolerance
from conformance.cases import CELLS, Case, Pull, hidden_for
from conformance.judge import Judge
from conformance.properties import networks
from conformance.registry import Scope
from conformance.tolerance import PROFILES
from rnnspec import Layer, Network, Path, Windows, cell, cells, get_backend, out
from rnnspec.contract.capabilities import DTYPES
from rnnspec.losses import SquaredError
from rnnspec.primitives import erf, exp, outer, relu, remainder, tanh, where
from rnnspec.tree import tree_map
from tests.stress import sixteen

SIXTEEN = ("bf16", "f16")


@cell
def coherent(x, R, p, h):
    """A decay of parameters alone, whose one rounding adds up over the steps."""
    return exp(-0.1 * p.a * p.a) * h + x.i * x.i / 8


@cell
def twice(x, R, p, h):
    """A vector of two uses, whose cotangents are added up in each row."""
    return out(p.d + p.d * (h / 256)), tanh(x.h + h)


@cell
def bent(x, R, h):
    """Conditions beside which some rounding turns the outcome."""
    return out(h + where(x.j > 0, 0.125, 0) - 0.125 * remainder(x.k, 0.5)), 0.5 * h + relu(x.i)


@cell
def forgotten(x, R, p, S):
    """Steps towards a target, whose parallel form has the decay 1 - A in every step."""
    return out(x.v @ S), S - relu(p.A) * (S - outer(p.d, x.u))


@cell
def small(x, R, h):
    """A function of small numbers."""
    return 0.5 * h + erf(1e-6 * x.i)


KINDS = {"coherent": (coherent, None), "twice": (twice, None), "bent": (bent, None), "small": (small, None),
         "mlstm": (cells.mlstm, None), "forgotten": (forgotten, Path.PARALLEL),
         "gla": (cells.gla, Path.PARALLEL)}  # fmt: skip
STEPS, WIDTHS = {"coherent": 48}, {"twice": (33,)}
"""Of those kinds that show at a size."""


@pytest.mark.parametrize("precision", SIXTEEN)
@pytest.mark.parametrize("kind", KINDS)
def test_a_right_backend_is_not_accused(kind, precision, open_backend):
    (own, path), backend, steps = KINDS[kind], open_backend("torch", precision), STEPS.get(kind, 24)
    held, row = (backend.through(path).chunking(8) if path else backend), sixteen.empty()
    net = Network(3, [Layer(own, hidden_for(own, WIDTHS.get(kind, (4, 3))))])
    for seed in range(4):
        sixteen.judge_one(held, Case(net, steps, 3, (steps, 0, steps - 7), seed=seed, pull=Pull.BOTH), row)
    assert (row["cases"], row["failed"], row["ill_posed"]) == (4, 0, 0)
    assert row["left_out"] < 0.4 * row["arrays"]
    assert row["worst_kappa"] > 0.1  # the yardstick is no wider than roundings are


class Added(TorchArrays):
    """Sums over rows are added up one by one in the precision."""

    def sum(self, a, axes, keep):
        if axes is None or keep:
            return super().sum(a, axes, keep)
        return reduce(torch.add, a.movedim(axes, tuple(range(len(axes)))).flatten(0, len(axes) - 1).unbind())


class Multiplied(TorchArrays):
    """Products of matrices are added up one by one in the precision."""

    def matmul(self, a, b):
        return reduce(torch.add, (a[:, k : k + 1] * b[k : k + 1] for k in range(a.shape[1])))


def faulty(kind, precision):
    class Faulty(TorchBackend):
        def make_arrays(self):
            return kind(getattr(torch, DTYPES[self.precision]), self.device)

    return Faulty(precision=precision)


@pytest.mark.parametrize("precision", SIXTEEN)
@pytest.mark.parametrize("kind", [TorchArrays, Added, Multiplied])
def test_a_sum_that_is_kept_in_sixteen_bits_is_told(kind, precision):
    net = Network(2, [Layer(cells.mingru, 3)])
    case = Case(net, 2, 515, seed=2, scale=0.05, resets=0.0, one_sign=True)  # resets choose the lowering, and its sums
    a, backend = case.arrays(precision), faulty(kind, precision)
    pulled = backend.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, None, a.resets)
    found = tolerance.verdict(Judge(backend).numpy(pulled), tolerance.pullback(case, PROFILES[precision]))
    assert not found.ill_posed
    assert found.passed is (kind is TorchArrays), found


def test_the_suite_asks_for_such_sums():
    asked = networks.gradients(Scope(tuple(CELLS.values()), eager=True))
    assert {"515 rows of one sign", "1030 inputs of one sign"} <= asked.keys()


def test_one_array_that_roundings_move_is_left_out_and_the_others_are_judged():
    net = Network(2, [Layer(cells.elman, 3)])
    case, profile = Case(net, 5, 3, seed=1, pull=Pull.BOTH), PROFILES["bf16"]
    a, backend = case.arrays("bf16"), TorchBackend(precision="bf16")
    result = Judge(backend).numpy(backend.run(net, a.params, a.inputs, a.state))

    def run(arithmetic):
        found = oracle.run(net, a.params, a.inputs, a.state, arithmetic=arithmetic)
        noise = np.random.default_rng(0).normal(size=(len(found.outputs), 1, 1, 1))
        noise[0] = 0.0
        return replace(found, outputs=found.outputs + noise)

    reference = tolerance.reference(profile, run)
    assert reference.ill_posed == "" and list(reference.untested) == ["outputs"] and "move outputs" in reference.doubt
    assert tolerance.verdict(result, reference).passed
    assert tolerance.verdict(replace(result, outputs=result.outputs + 9), reference).passed
    wrong = tree_map(lambda s: s * 2, result.state)
    assert not tolerance.verdict(replace(result, state=wrong), reference).passed
    assert "move outputs" in reference.at("outputs").ill_posed and not reference.at("state").doubt


def test_the_parts_of_a_draw_add_up():
    def part(seed, **counts):
        return {"parts": [{"seed": seed}], "backends": {"torch": {"bf16": {**sixteen.empty(), **counts}}}}

    first, other = part(0, cases=30, worst_kappa=4.0), part(1, cases=20, failed=1)
    both_parts = sixteen.joined(sixteen.joined(None, first), other)
    row = both_parts["backends"]["torch"]["bf16"]
    assert (row["cases"], row["failed"], row["worst_kappa"], both_parts["holds"]) == (50, 1, 4.0, False)
    with pytest.raises(ValueError, match="a part must be new"):
        sixteen.joined(both_parts, other)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("precision", SIXTEEN)
def test_gradients_of_many_segments_and_windows_are_added_up_in_float32(name, precision):
    """A bias whose gradient is the number of steps: as a sum in bfloat16 it stops at 2,048, in float16 at 16,384."""
    steps = {"bf16": 1200, "f16": 9600}[precision]

    @cell
    def shifted(x, h):
        return out(x.a), h

    backend = get_backend(name, precision=precision)
    net = Network(1, [Layer(shifted, {"h": 1, "x.a": 1})], loss=SquaredError())
    params, x = net.init(0), np.zeros((steps, 2, 1))
    cotangent, targets = np.ones((steps, 2, 1)), np.full((steps, 2, 1), -0.5)
    run_again = backend.recomputing(3).pullback(net, params, x, cotangent)
    windows = Windows(steps // 300, steps // 300).value_and_grad(backend, net, params, x, targets).grads
    whole = backend.value_and_grad(net, params, x, targets).grads
    bias, in_windows, in_one = (float(np.ravel(backend.to_numpy(own.params)["layers"][0]["forward"]["b"]["a"])[0])
                                for own in (run_again, windows, whole))  # fmt: skip
    assert bias == pytest.approx(2 * steps, rel=0.01)
    assert in_windows == pytest.approx(in_one, rel=0.01)
