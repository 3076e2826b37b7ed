"""A verifier that does not share the planner's mistakes: plans are right, and no fault in one passes."""

import random
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from backends.planning import layout, lifetimes
from backends.planning.aliases import unstopped
from backends.planning.emission import Emitter, Kind, Place, _Phase
from backends.planning.plan import PRODUCTS
from backends.planning.planner import laid_out
from backends.planning.rewriting import Logistic
from backends.planning.verification import WrongPlan, verify
from backends.torch_backend import scratch, summands
from backends.torch_backend.fusion import forward_only, fused
from conformance.cases import CELLS, hidden_for
from conformance.own_cell import leaky_gate
from rnnspec import cell, cells, out
from rnnspec.derivation.schedule import schedule
from rnnspec.primitives import maximum, number, sigmoid, tanh

PHASES = ("before", "step", "after", "pull_before", "pull_step", "pull_after")


def sizes(given, widths=(4, 3, 5, 2, 6)):
    return tuple(sorted((name, w) for name, w in given.widths(hidden_for(given, widths), 3).items() if name))


def for_numpy(given, logistic=Logistic.TANGENT, widths=(4, 3, 5, 2, 6)):
    return laid_out(unstopped(schedule(given)), sizes(given, widths), logistic)


def for_torch_forward(given, widths, small):
    own = laid_out(fused(unstopped(forward_only(schedule(given)))), sizes(given, widths))
    return scratch.in_scratch(summands.summed(own, small))


def for_torch(given, widths=(4, 3, 5, 2, 6)):
    return summands.summed(laid_out(fused(unstopped(schedule(given))), sizes(given, widths)))


@cell
def numbers_side_by_side(x, a):
    """Its backward equations multiply one cotangent by each of two numbers and by the wide vector after them."""
    return out(a * number(x.q) + number(x.r) * x.v), a + x.v


@cell
def carried_on(x, R, h, m):
    m = m - h * h
    return m * h, m


@cell
def read_after_the_loop(x, R, h):
    u = R.u(h)
    n = tanh(x.a + u)
    return out(sigmoid(u) * n), n


@cell
def added_over_its_operand(x, R, p, h):
    n = R.u(h)
    return out(p.k * h), n


@cell
def handed_on(x, R, h, c):
    return R.a(h), h


@cell
def made_before_the_loop(x, R, p, h, c):
    n = tanh(x.a)
    return n * h * p.k * c, n


@cell
def all_one(x, R, h, c, m):
    new = x.a + R.u(h)
    return out(new - R.u(h)), new, new, new


@cell
def a_difference(x, R, h, c):
    u = R.u(h)
    return R.u(tanh(u)), c - u


OWN = (carried_on, read_after_the_loop, added_over_its_operand, handed_on, made_before_the_loop, all_one, a_difference,
       numbers_side_by_side)  # fmt: skip


@pytest.mark.parametrize("widths", [(4, 3, 5, 2, 6), (3, 3, 3, 3, 3), (1, 4, 1, 4, 1)], ids=["all", "alike", "ones"])
@pytest.mark.parametrize("given", [*CELLS.values(), leaky_gate, *OWN], ids=lambda c: c.name)
def test_every_plan_is_right(given, widths):
    for logistic in (None, *Logistic):
        verify(for_numpy(given, logistic, widths), schedule(given))
    verify(for_torch(given, widths), schedule(given))
    run = forward_only(schedule(given))
    verify(summands.summed(laid_out(fused(run), sizes(given, widths))), run)
    for small in (True, False):
        verify(for_torch_forward(given, widths, small), run)


def test_a_right_plan_is_never_refused_for_the_numbers_drawn():
    """The quotient's denominator is near 0 for some names."""
    for name in ("a", "n", "u", "k", "z", "zz", "q", "state", "b1"):
        given = leaky(name)
        verify(for_torch(given), schedule(given))
        verify(for_numpy(given), schedule(given))


def leaky(name):
    @cell
    def softsign(x, R, p, h):
        v = getattr(x, name) + getattr(R, name)(h)
        z = sigmoid(getattr(p, name))
        return z * h + (1 - z) * (v / (1 + maximum(v, -v)))

    return softsign


def careless(plan, product, addition, calls):
    """Whether the next call adds a product: it looks at nothing but the calls of a step."""
    readers = [call for call in calls if product.out.block in {place.block for place in call.operands}]
    return product.op in PRODUCTS and len(product.operands) == 1 and addition.op == "add" and readers == [addition]


def test_a_carried_cotangent_that_is_not_kept_is_found(monkeypatch):
    emit = Emitter.emit

    def forgetful(self, indices, scratch, keep, targets):
        return emit(self, indices, scratch, {n: kind for n, kind in keep.items() if kind is not Kind.STEP}, targets)

    monkeypatch.setattr(Emitter, "emit", forgetful)
    with pytest.raises(WrongPlan, match=r"the gradient of|the cotangent of"):
        verify(for_numpy(carried_on), schedule(carried_on))


OUTLIVING = {"before": cells.mingru, "step": made_before_the_loop, "after": read_after_the_loop}


@pytest.mark.parametrize("phase", OUTLIVING)
def test_what_outlives_a_forward_phase_and_is_not_kept_is_found(phase, monkeypatch):
    forward, given = lifetimes.forward, OUTLIVING[phase]

    def forgetful(*asked):
        return replace(forward(*asked), **{phase: {}})

    monkeypatch.setattr(layout.lifetimes, "forward", forgetful)
    with pytest.raises(WrongPlan):
        verify(for_torch(given), schedule(given))


@pytest.mark.parametrize("given", [read_after_the_loop, added_over_its_operand, handed_on], ids=lambda c: c.name)
def test_a_product_that_joins_what_it_may_not_is_found(given, monkeypatch):
    verify(for_torch(given), schedule(given))
    monkeypatch.setattr(summands, "_adds", careless)
    with pytest.raises(WrongPlan):
        verify(for_torch(given), schedule(given))


def dropped(calls, rng):
    i = rng.randrange(len(calls))
    return [*calls[:i], *calls[i + 1 :]]


def exchanged(calls, rng):
    """Two calls, of which the second reads what the first writes, the other way round."""
    pairs = [i for i, (a, b) in enumerate(pairwise(calls)) if a.out in b.operands]
    if not pairs:
        return calls
    i = rng.choice(pairs)
    return [*calls[:i], calls[i + 1], calls[i], *calls[i + 2 :]]


def shifted(calls, rng):
    """One operand, a column off."""
    i = rng.randrange(len(calls))
    operands = list(calls[i].operands)
    if not operands:
        return calls
    k = rng.randrange(len(operands))
    operands[k] = Place(operands[k].block, operands[k].low + 1, operands[k].high + 1)
    return [*calls[:i], replace(calls[i], operands=tuple(operands)), *calls[i + 1 :]]


def overwritten(calls, rng):
    """A result where another value lies that a later call reads."""
    pairs = [
        (i, place)
        for i, call in enumerate(calls) for later in calls[i + 1 :] for place in later.operands
        if place != call.out and place.high - place.low == call.out.high - call.out.low
    ]  # fmt: skip
    if not pairs:
        return calls
    i, place = rng.choice(pairs)
    return [*calls[:i], replace(calls[i], out=place), *calls[i + 1 :]]


FAULTS = (dropped, exchanged, shifted, overwritten)
LAID = {f"{given.name} {made.__name__}": partial(made, given)
        for given in (CELLS["lstm"], CELLS["gru"], CELLS["lstm_projected"], leaky_gate, a_difference)
        for made in (for_numpy, for_torch)}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", LAID)
def test_a_fault_in_a_plan_is_found(name, fault):
    plan = LAID[name]()
    made = 0
    for phase in PHASES:
        for draw in range(3):
            calls = list(getattr(plan, phase))
            wrong = fault(calls, random.Random(f"{name} {phase} {draw}")) if calls else calls
            if wrong != calls:
                made += 1
                with pytest.raises(WrongPlan):
                    verify(replace(plan, **{phase: tuple(wrong)}), schedule(plan.schedule.cell))
    assert made


def test_a_value_that_two_nodes_of_a_call_read_is_not_overwritten_by_it(monkeypatch):
    @cell
    def sums(x, R, h):
        return tanh(x.a + x.b) + tanh(x.b + x.b) + 0.5 * h

    for made in (for_numpy, for_torch):
        verify(made(sums), schedule(sums))
    monkeypatch.setattr(_Phase, "_is_read_across", lambda *given: False)
    for made in (for_numpy, for_torch):
        with pytest.raises(WrongPlan, match="writes over what it reads"):
            verify(made(sums), schedule(sums))
