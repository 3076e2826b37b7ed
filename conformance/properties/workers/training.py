"""Training steps of several workers, numbers that are not finite, and calls that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from conformance import oracle, tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.oracle import Arithmetic
from conformance.properties.asking import Question, flat, is_eager
from conformance.properties.learning.training import train
from conformance.properties.workers import networks
from conformance.properties.workers.shares import Shares, shared
from conformance.registry import law
from conformance.statements import WORKERS
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Step, Trained, chain
from rnnspec.control.rule import Rule
from rnnspec.errors import NonFiniteError, WorkerError
from rnnspec.policies import ClipByGlobalNorm, RaiseNonFinite, ScaleLoss, SkipNonFinite
from rnnspec.tree import Tree
from rnnspec.updates import SGD, Adam, HoldSpectralNorm

STEPS, SCALE = 3, 64.0
DESCENT = SGD(0.125, 0.875)
CLIPPED = chain(ClipByGlobalNorm(0.05), Adam(0.01, 0.875, epsilon=1e-4))
SCALED = ScaleLoss(chain(ClipByGlobalNorm(0.05), DESCENT), SCALE, interval=2)
HELD = SkipNonFinite(HoldSpectralNorm(DESCENT, 0.25))
RULES: tuple[Rule, ...] = (CLIPPED, SCALED, HELD)
SKIPPED = SkipNonFinite(DESCENT)
GROWING = ScaleLoss(DESCENT, SCALE, interval=2)
RAISED = chain(RaiseNonFinite(), DESCENT)


@law(WORKERS["P202"], cases=networks.trained, needs=("lengths", "gradients"), oracle=True, once=True)
def training(backend: Backend, case: Case, judge: Judge) -> None:
    """Trains on three batches by a rule that clips, and where rules cost no program by others: one that scales the
    loss, and one that holds spectral norms.
    """
    first = shared(backend, case)
    later = [shared(backend, replace(case, seed=case.seed + 7919 * i)).whole for i in range(1, STEPS)]
    batches = [first, *(Shares(whole, first.rows) for whole in later)]
    parts = [own.parts for own in batches]
    for rule in RULES if is_eager(backend) else (CLIPPED,):
        found, *others = first.each(partial(_trained, rule, parts))
        judge.close(f"training by {rule}", [_numbers(done) for done in found],
                    _reference(rule, batches, case.seed))  # fmt: skip
        for rank, own in enumerate(others, 1):
            _judge_same(judge, rank, own[-1], found[-1])


@law(WORKERS["P203"], cases=networks.finite, needs=("lengths", "gradients"), once=True)
def not_finite(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes all inputs of one row NaN or infinite, and trains by rules that skip, halve and raise."""
    shares = _broken(shared(backend, case))
    judge.applies(shares is not None, "no row has a step")
    assert shares is not None
    params, alone = shares.whole.given.params, shares.whole.step().grads.params
    judge.applies(not np.isfinite(flat(alone)).all(), "no gradient shows what the row has")
    for rule, name, wanted in ((SKIPPED, "skipped", 1.0), (GROWING, "scale", SCALE / 2)):
        found = shares.each(partial(train, rule=rule))
        for rank, done in enumerate(found):
            judge.exactly(f"parameters of worker {rank} after a step that is skipped", done.params, params)
            judge.exactly(f"{name} of worker {rank}", {name: done.rule_state[name]}, wanted)
            _judge_same(judge, rank, done, found[0])
    for rank, error in enumerate(shares.each(partial(_attempt, partial(train, rule=RAISED)))):
        judge.holds(f"the error of worker {rank}", isinstance(error, NonFiniteError), _shown(error), "NonFiniteError")


@law(WORKERS["P205"], cases=networks.plain, needs=("lengths", "gradients"), once=True)
def failing(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives one worker too many lengths, between two calls that are right; also in training, if that costs nothing."""
    shares = shared(backend, case)
    bad = case.seed // 12 % len(shares.rows)
    calls: list[Callable[[Question], Any]] = [Question.step]
    calls += [partial(train, rule=DESCENT)] if is_eager(backend) else []

    def asked(call: Callable[[Question], Any], part: Question) -> list[Any]:
        wrong = part.but(lengths=np.zeros(len(part.ends) + 1, np.int64)) if _rank(part) == bad else part
        return [_attempt(call, one) for one in (part, wrong, part)]

    for call in calls:
        for rank, (before, error, after) in enumerate(shares.each(partial(asked, call))):
            own = isinstance(error, Exception) and not isinstance(error, WorkerError)
            named = isinstance(error, WorkerError) and f"rank {bad}" in str(error)
            right = "an error of its own" if rank == bad else f"a WorkerError that names rank {bad}"
            judge.holds(f"the error of worker {rank}", own if rank == bad else named, _shown(error), right)
            _judge_again(judge, rank, before, after)


def _judge_again(judge: Judge, rank: int, before: Any, after: Any) -> None:
    for one in (before, after):
        if isinstance(one, Exception):
            raise one
    judge.holds(f"the count of worker {rank} afterwards", before.count == after.count, after.count, before.count)
    if judge.backend.capabilities.deterministic:
        judge.exactly(f"the numbers of worker {rank} afterwards", _kept(after), _kept(before))


def _kept(done: Step | Trained) -> Tree:
    return done.params if isinstance(done, Trained) else done.grads.params


def _judge_same(judge: Judge, rank: int, own: Trained, first: Trained) -> None:
    judge.exactly(f"parameters of worker {rank}, as those of worker 0", own.params, first.params)
    judge.exactly(f"rule_state of worker {rank}, as that of worker 0", own.rule_state, first.rule_state)


def _reference(rule: Rule, batches: list[Shares], seed: int) -> Reference:
    whole = batches[0].whole
    given = [own.batch for own in batches]

    def compute(arithmetic: Arithmetic) -> Tree:
        return [_numbers(done) for done in oracle.train(whole.net, rule, whole.given.params, given, arithmetic)]

    return tolerance.reference(PROFILES[whole.backend.precision], compute, seed)


def _trained(rule: Rule, batches: list[list[Question]], part: Question) -> list[Trained]:
    """The steps of one worker, which has a part of each batch."""
    params, kept, found = part.given.params, None, list[Trained]()
    for batch in batches:
        own = replace(batch[_rank(part)], backend=part.backend)
        found.append(train(own.but(params=params), rule, kept))
        params, kept = found[-1].params, found[-1].rule_state
    return found


def _numbers(done: Trained) -> dict[str, Any]:
    return {name: getattr(done, name) for name in ("params", "rule_state", "loss_sum", "count")}


def _broken(shares: Shares) -> Shares | None:
    """Some row with a step, and nothing but NaN or infinity in it."""
    whole = shares.whole
    real = np.flatnonzero(whole.ends * whole.steps)
    if not len(real):
        return None
    x = np.array(whole.given.inputs)
    x[:, real[0]] = (np.nan, np.inf)[len(real) % 2]
    return replace(shares, whole=whole.but(inputs=x))


def _attempt(call: Callable[[Question], Any], part: Question) -> Any:
    """The result of a call, or its error."""
    try:
        return call(part)
    except Exception as error:
        return error


def _rank(part: Question) -> int:
    return part.backend.group.rank  # type: ignore[union-attr]  # it is one of several


def _shown(error: Any) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else "no error"

