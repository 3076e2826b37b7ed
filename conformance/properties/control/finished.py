"""Gradient control: policies on finished gradients, on both sides of every threshold, and the update rules behind them.

What a policy made of a gradient is read from the rule's state: the first moment, or the velocity, of a first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, flat
from conformance.properties.learning.parted import Part, Parted
from conformance.properties.learning.training import Sized, mean_of, scaled, train, train_reference
from conformance.registry import law
from conformance.statements import CLIPPING, TRAINING
from conformance.tolerance import PROFILES
from rnnspec import Backend, Trained, chain
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByUnitNorm, ClipByValue
from rnnspec.tree import Tree, leaves, named_map, tree_map
from rnnspec.updates import SGD, Adam

LIMIT, MAP_LIMIT, ENTRY_LIMIT, MOMENTUM, RATE = 5.0, 0.5, 0.05, 0.875, 0.125
GLOBAL = chain(ClipByGlobalNorm(LIMIT), Adam(0.01, MOMENTUM, epsilon=1e-4))
MAPS = Part(("forward.W.", "forward.b.", "reverse.U."), chain(ClipByNorm(MAP_LIMIT), SGD(RATE, MOMENTUM)))
ENTRIES = Part(("forward.U.", "reverse.W.", "reverse.b.", "reverse.p.", "output.b"),
               chain(ClipByValue(ENTRY_LIMIT), SGD(RATE, MOMENTUM)))  # fmt: skip
NOTHING = Part(("output.W",), chain(ClipByGlobalNorm(0.0), SGD(RATE)))
DESCENT = Part(("forward.p.",), SGD(RATE))
PARTED = Parted((MAPS, ENTRIES, NOTHING, DESCENT))
RULES = (GLOBAL, PARTED)
STEPS, SIZE = 10, 40.0
TIGHT = (ClipByGlobalNorm(LIMIT), ClipByNorm(0.01), ClipByValue(0.001), ClipByUnitNorm(0.001))
"""At the size below, every map is beyond its limit."""
ALONE = (GLOBAL, *(chain(policy, SGD(RATE, MOMENTUM)) for policy in TIGHT))


@law(CLIPPING["P52"], cases=networks.trained, needs=("gradients",))
def global_norm(backend: Backend, case: Case, judge: Judge) -> None:
    """Uses gradients of a quarter, four and 200 times the limit."""
    for size in (LIMIT / 4, 4 * LIMIT, 200 * LIMIT):
        sized = Sized(ask(backend, case), size)
        norm = float(np.linalg.norm(flat(sized.mean)))
        factor = min(1.0, LIMIT / norm) * (1 - MOMENTUM)
        moment = sized.trained(GLOBAL).rule_state[1]["m"]
        judge.agree(f"the first moment at the norm {norm:.4g}", moment, scaled(sized.mean, factor),
                    sized.reference(GLOBAL).at("0.rule_state.1.m"))  # fmt: skip


@law(CLIPPING["P53"], cases=networks.trained, needs=("gradients",))
def idempotent(backend: Backend, case: Case, judge: Judge) -> None:
    """Looks at the global norm, and at the norm of every map."""
    slack = 64 * PROFILES[backend.precision].unit
    for size in (LIMIT / 4, 4 * LIMIT):
        sized = Sized(ask(backend, case), size)
        moment = tree_map(lambda m: m / (1 - MOMENTUM), sized.trained(GLOBAL).rule_state[1]["m"])
        _judge_norm(judge, "the global norm", moment, sized.mean, LIMIT, slack)
        mean = MAPS.of(sized.mean)
        for name, v in _velocity(sized.trained(PARTED), MAPS).items():
            _judge_norm(judge, f"the norm of {name}", v, mean[name], MAP_LIMIT, slack)


@law(CLIPPING["P55"], cases=networks.trained, needs=("gradients",))
def partition(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the factors of all maps under both policies."""
    sized = Sized(ask(backend, case), 200 * LIMIT)
    moment, velocity = sized.trained(GLOBAL).rule_state[1]["m"], _velocity(sized.trained(PARTED), MAPS)
    judge.applies(bool(velocity), "the cell has no input map")
    judge.applies(not sized.reference(GLOBAL).doubt, "the norm has no answer in this precision")
    one, own, clipped = _factors(moment, sized.mean), _factors(velocity, sized.mean), _clipped(sized.mean)[MAPS]
    slack = 1e-3 + 8 * PROFILES[backend.precision].unit
    judge.holds("the factors of maps under the global norm", bool(np.ptp(one) < slack * max(one)), one, "one number")
    judge.agree("gradients clipped map by map", velocity, clipped, sized.reference(PARTED).at(_place(MAPS)))
    judge.applies(_differ(_factors(clipped, sized.mean), 2 * slack), "no map's own norm is beyond its limit")
    judge.holds("the factors of maps under their own", _differ(own, slack), own, "different numbers")


@law(CLIPPING["P56"], cases=networks.trained, needs=("gradients",))
def entries(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares entries with NumPy's clip, and turns the sign of the gradient."""
    sized = Sized(ask(backend, case), SIZE)
    velocity, reference = _velocity(sized.trained(PARTED), ENTRIES), sized.reference(PARTED).at(_place(ENTRIES))
    judge.agree("clipped entries", velocity, _clipped(sized.mean)[ENTRIES], reference)
    before, largest = (max(float(np.abs(g).max()) for g in t.values()) for t in (ENTRIES.of(sized.mean), velocity))
    held = float(PROFILES[backend.precision].round(np.asarray(ENTRY_LIMIT)))
    judge.applies(before > 1.01 * held, "no entry is beyond the limit")
    judge.holds("the largest entry", largest == held, largest, held)
    turned = _velocity(Sized(ask(backend, case), -SIZE).trained(PARTED), ENTRIES)
    judge.agree("entries of turned gradients", tree_map(np.negative, turned), velocity, reference)


@law(CLIPPING["P57"], cases=networks.trained, needs=("gradients",))
def no_gradient(backend: Backend, case: Case, judge: Judge) -> None:
    """Trains on a batch without a step under every rule, and then under the limit 0."""
    question = ask(backend, case)
    g = question.given
    none = question.but(inputs=g.inputs[:0], targets=g.targets[:0])
    for rule in RULES:
        done = train(none, rule)
        judge.exactly(f"parameters after no step, {rule}", done.params, g.params)
        judge.holds("the count", done.count == 0, done.count, 0)
    done = train(question, PARTED)
    judge.exactly("parameters under the limit 0", NOTHING.of(done.params), NOTHING.of(g.params))


@law(CLIPPING["P58"], cases=networks.trained, needs=("gradients",))
def not_finite(backend: Backend, case: Case, judge: Judge) -> None:
    """A target of NaN, or infinite; entries that are clipped one by one stay NaN where they were."""
    question = ask(backend, case)
    for value in (np.nan, np.inf):
        y = np.array(question.given.targets)
        y[0, 0] = value
        broken = question.but(targets=y)
        moment = train(broken, GLOBAL).rule_state[1]["m"]
        lost = tree_map(lambda m: np.full_like(m, np.nan), moment)
        judge.exactly(f"the first moment, a target {value}", moment, lost)
        _judge_maps(judge, broken)
        velocity = _velocity(train(broken, PARTED), ENTRIES)
        judge.exactly("which entries are NaN", tree_map(np.isnan, velocity),
                      tree_map(np.isnan, ENTRIES.of(mean_of(broken))))  # fmt: skip


@law(CLIPPING["P60"], cases=networks.trained, needs=("gradients",))
def boundary(backend: Backend, case: Case, judge: Judge) -> None:
    """A gradient of (3, 4) on the output layer's bias alone, the limit being 5; and some thousandths more. An update
    is given it; a training step has it where the cell makes zeros of zeros."""
    question, rule = ask(backend, case), GLOBAL
    g = question.given
    zeros = question.but(params=tree_map(np.zeros_like, g.params), state=tree_map(np.zeros_like, g.state))
    real, unit = case.steps * case.batch, PROFILES[backend.precision].unit
    above = 1.001 + 8 * unit
    _judge_update(judge, question, ((1.0, 1.0), (above, 1 / above)))
    for grown, factor in ((1.0, 1.0), (above, 1 / above)):
        y = np.zeros_like(g.targets)
        y[-1, -1] = [_before_mean(-3 * grown, real, y.dtype), _before_mean(-4 * grown, real, y.dtype)]
        moved = zeros.but(targets=y)
        away = [name for name, g in moved.step_reference().own().at("grads.params").expected().items() if g.any()]
        judge.applies(away == ["output.b"], "the cell makes no zeros of zeros")
        mean, moment = mean_of(moved), train(moved, rule).rule_state[1]["m"]
        norm = float(np.hypot(*mean["output"]["b"].astype(float)))
        judge.holds("the norm of the case", abs(norm / LIMIT - grown) < 2e-5 + 4 * unit, norm, LIMIT * grown)
        wanted = scaled(mean, (1 - MOMENTUM) * factor)
        if grown == 1.0:
            judge.applies(norm == LIMIT, "no number gives the limit exactly")
            judge.exactly("the first moment at the limit", moment, wanted)
        else:
            judge.agree("the first moment above the limit", moment, wanted,
                        train_reference(moved, rule).at("0.rule_state.1.m"))  # fmt: skip


@law(TRAINING["P62"], cases=networks.stepped, needs=("gradients",))
def whole_step(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a step with the loss call and with the rule's own state, and takes a second step."""
    question = ask(backend, case)
    step, done = question.step(), train(question, PARTED)
    reference = tolerance.value_and_grad(case, PROFILES[backend.precision])
    judge.agree("the loss", done.loss_sum, step.loss_sum, reference.at("loss_sum"))
    judge.holds("the count", done.count == step.count, done.count, step.count)
    judge.agree("the state", done.state, step.state, reference.at("state"))
    trained = train_reference(question, PARTED)
    velocities = {part: velocity for part in (MAPS, ENTRIES) if (velocity := _velocity(done, part))}
    steps = {name: RATE * v for velocity in velocities.values() for name, v in velocity.items()}
    steps |= {name: RATE * g for name, g in DESCENT.of(mean_of(question)).items()}
    moved = named_map(lambda name, w: (w.astype(float) - steps.get(name, 0.0)).astype(w.dtype), question.given.params)
    judge.agree("the parameters", done.params, moved, trained.at("0.params"))
    after = _with_params(question, done.params)
    again, clipped = train(after, PARTED, done.rule_state), _clipped(mean_of(after))
    for part, velocity in velocities.items():
        wanted = tree_map(lambda v, g: (MOMENTUM * v.astype(float) + g).astype(v.dtype), velocity, clipped[part])
        judge.agree("the second velocity", _velocity(again, part), wanted, trained.at(_place(part)))


@law(TRAINING["P62-update"], cases=networks.stepped, needs=("gradients",))
def update(backend: Backend, case: Case, judge: Judge) -> None:
    """Updates by the loss of one batch, and by the sums of this batch and itself, which have the same mean."""
    question, rule = ask(backend, case), PARTED
    done, step, reference = train(question, rule), question.step(), train_reference(question, rule)
    twice = replace(step, count=2 * step.count, grads=replace(step.grads, params=scaled(step.grads.params, 2.0)))
    for what, given in (("its step", step), ("two steps", twice)):
        found = backend.update(question.net, rule, question.given.params, rule.init(question.given.params), given)
        judge.holds(f"the count after an update by {what}", found.count == given.count, found.count, given.count)
        for part in ("params", "rule_state"):
            judge.agree(f"{part} after an update by {what}", backend.to_numpy(getattr(found, part)),
                        getattr(done, part), reference.at(f"0.{part}"))  # fmt: skip
        for part in ("loss_sum", "state"):
            judge.exactly(f"{part} after an update by {what}", backend.to_numpy(getattr(found, part)),
                          getattr(given, part))  # fmt: skip


@law(TRAINING["P67"], cases=networks.plain, needs=("gradients",), oracle=True)
def training(backend: Backend, case: Case, judge: Judge) -> None:
    """Trains on ten batches by each of the suite's rules, which together have every policy."""
    for rule in RULES:
        params, kept = case.arrays(backend.precision).params, rule.init(case.arrays(backend.precision).params)
        done: list[Trained] = []
        for x, y, state, lengths in case.batches(STEPS, backend.precision):
            done.append(backend.train_step(case.net, rule, params, kept, x, y, state, lengths))
            params, kept = done[-1].params, done[-1].rule_state
        answer = [vars(judge.numpy(one)) for one in done]
        judge.close(f"training by {rule}", answer, tolerance.train(case, rule, STEPS, PROFILES[backend.precision]))


@law(CLIPPING["P100"], cases=networks.halves, needs=("gradients",), oracle=True)
def alone(backend: Backend, case: Case, judge: Judge) -> None:
    """Takes one step by each rule, with a gradient beyond the rule's limit in every map."""
    sized = Sized(ask(backend, case), SIZE)
    for rule in ALONE:
        done = vars(sized.trained(rule))
        judge.close(f"a step by {rule}", [done], sized.reference(rule))


def _judge_update(judge: Judge, question: Question, grown: Sequence[tuple[float, float]]) -> None:
    backend, params = question.backend, question.given.params
    step, close = question.step(), 64 * PROFILES[backend.precision].unit * LIMIT
    for size, factor in grown:
        bias = np.array([3 * size, 4 * size], params["output"]["b"].dtype)
        wanted = named_map(lambda name, w, b=bias: b if name == "output.b" else np.zeros_like(w), params)
        given = replace(step, count=1, grads=replace(step.grads, params=wanted))
        found = backend.update(question.net, GLOBAL, params, GLOBAL.init(params), given).rule_state[1]["m"]
        away = flat(backend.to_numpy(found)) - flat(scaled(wanted, (1 - MOMENTUM) * factor))
        allowed = 0.0 if size == 1.0 else close
        judge.holds(f"the first moment of an update, {size:.4g} of the limit", bool(np.abs(away).max() <= allowed),
                    f"off by {np.abs(away).max():.3g}", f"within {allowed:.3g}")  # fmt: skip


def _velocity(done: Trained, part: Part) -> dict[str, Any]:
    return dict(done.rule_state[PARTED.parts.index(part)][1]["velocity"])


def _place(part: Part) -> str:
    """Where a part's velocity stands in the reference of one step by `PARTED`."""
    return f"0.rule_state.{PARTED.parts.index(part)}.1.velocity"


def _clipped(mean: Tree) -> dict[Part, dict[str, Any]]:
    """What the policies of the parts make of a gradient."""
    by_norm = {name: g * g.dtype.type(MAP_LIMIT / max(MAP_LIMIT, float(np.linalg.norm(g.astype(float)))))
               for name, g in MAPS.of(mean).items()}  # fmt: skip
    by_value = {name: np.clip(g, -ENTRY_LIMIT, ENTRY_LIMIT).astype(g.dtype) for name, g in ENTRIES.of(mean).items()}
    return {MAPS: by_norm, ENTRIES: by_value}


def _with_params(question: Question, params: Tree) -> Question:
    return question.but(params=params)


def _factors(clipped: Tree, mean: Tree) -> list[float]:
    """Of the maps that have a gradient."""
    whole = dict(leaves(mean))
    return [float(np.linalg.norm(c.astype(float)) / np.linalg.norm(whole[name].astype(float)))
            for name, c in leaves(clipped) if whole[name].any()]  # fmt: skip


def _differ(factors: list[float], slack: float) -> bool:
    return bool(np.ptp(factors) > slack * max(factors))


def _judge_norm(judge: Judge, what: str, clipped: Tree, mean: Tree, limit: float, slack: float) -> None:
    after, before = float(np.linalg.norm(flat(clipped))), float(np.linalg.norm(flat(mean)))
    wanted = min(limit, before)
    judge.holds(f"{what} after clipping", abs(after - wanted) <= slack * wanted, after, wanted)


def _judge_maps(judge: Judge, broken: Question) -> None:
    mean = MAPS.of(mean_of(broken))
    for name, v in _velocity(train(broken, PARTED), MAPS).items():
        finite = bool(np.isfinite(mean[name]).all())
        judge.holds(
            f"NaN in {name}", bool(np.isnan(v).all()) != finite, v.tolist(), "numbers" if finite else "NaN alone"
        )


def _before_mean(wanted: float, count: int, dtype: Any) -> Any:
    """A number that is the wanted one once it is divided by the count, to the bit if there is one."""
    scale, first = dtype.type(1 / count), dtype.type(wanted * count)
    around = [first, np.nextafter(first, dtype.type(np.inf)), np.nextafter(first, dtype.type(-np.inf))]
    return min(around, key=lambda number: abs(float(number * scale) - wanted))
