"""Losses of several workers: what is added up, what belongs to rows, noise, windows and means."""

from __future__ import annotations

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question
from conformance.properties.workers import networks
from conformance.properties.workers.shares import Shares, shared, sums
from conformance.registry import law
from conformance.statements import WORKERS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Gradients, Key, Step, Windows

WINDOWS = Windows(every=2, back=4)
MANY = (2**24 + 1, 2**40 + 1)
"""Counts that float32 numbers do not hold."""


@law(WORKERS["P200"], cases=networks.everything, needs=("lengths", "gradients"), oracle=True, once=True)
def added_up(backend: Backend, case: Case, judge: Judge) -> None:
    """Shares rows unevenly, with workers that have none, and in another order; compares with the oracle."""
    _has_range(backend, case, judge)
    _judge_sums(judge, shared(backend, case), case.seed)


@law(WORKERS["P201"], cases=networks.everything, needs=("lengths", "gradients"), oracle=True, once=True)
def own_rows(backend: Backend, case: Case, judge: Judge) -> None:
    """Puts the rows of all workers together again, and compares with the oracle's of one process."""
    _has_range(backend, case, judge)
    shares = shared(backend, case)
    found, reference = shares.joined(shares.each(Question.step)), shares.whole.step_reference()
    judge.close("final states", found["state"], reference.at("state"))
    for name, own in found["grads"].items():
        judge.close(f"gradients of the {name}", own, reference.at(f"grads.{name}"))


@law(WORKERS["P204"], cases=networks.noise, needs=("lengths", "noise", "gradients"), oracle=True, once=True)
def one_key(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives each worker the key of all rows, which begin anywhere."""
    lacks = [backend.capabilities.lacked(layer.masked.cell) for layer in case.net.layers if layer.masked]
    judge.applies(not any(lacks), f"masks in the equations need {''.join(lacks[:1])}")
    _judge_sums(judge, shared(backend, case, Key(case.seed, row=case.seed % 1009, step=case.seed % 77)), case.seed)


@law(WORKERS["P206"], cases=networks.plain, needs=("lengths", "gradients"))
def mean(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives numbers of its own, which grow with the rank; and none of the steps of some worker."""
    shares = shared(backend, case)
    counts = [int(part.ends.sum()) for part in shares.parts]
    losses = [1.0 + rank if count else 0.0 for rank, count in enumerate(counts)]
    total = sum(counts)
    judge.applies(total > 0, "no step is real")

    def own(part: Question) -> float:
        be = part.backend
        rank = be.group.rank  # type: ignore[union-attr]  # it is one of several
        return float(be.to_numpy(be.mean_loss(be.from_numpy(np.asarray(losses[rank])), counts[rank])))

    found, wanted = float(np.mean(shares.each(own))), sum(losses) / total
    close = abs(found - wanted) <= 8 * PROFILES[backend.precision].unit * wanted
    judge.holds("the mean loss", close, found, wanted)


@law(WORKERS["P207"], cases=networks.plain, needs=("lengths", "gradients"), once=True)
def counts(backend: Backend, case: Case, judge: Judge) -> None:
    """Adds up steps that have counts near 2^24 and 2^40, each worker another one."""
    shares = shared(backend, case)
    for many in MANY:
        def summed(part: Question, many: int = many) -> int:
            be, params = part.backend, part.given.params
            own = many + be.group.rank  # type: ignore[union-attr]  # it is one of several
            step = Step(be.from_numpy(np.zeros(())), own, Gradients(be.asarray(params), None, None), None)
            return be.summed(part.net, step).count

        found = shares.each(summed)
        wanted = sum(many + rank for rank in range(len(found)))
        judge.holds("the counts", found == [wanted] * len(found), found, wanted)


@law(WORKERS["P208"], cases=networks.forward, needs=("lengths", "gradients"), once=True)
def windows(backend: Backend, case: Case, judge: Judge) -> None:
    """Reads the rows of each worker in windows of four steps, and all rows in one process."""
    shares = shared(backend, case)
    reference, one = shares.reference(case.seed), _read(shares.whole)
    for rank, step in enumerate(shares.each(_read)):
        judge.agree(f"the sums of worker {rank}", sums(step), sums(one), reference)


def _read(part: Question) -> Step:
    g = part.given
    found = WINDOWS.value_and_grad(part.backend, part.net, g.params, g.inputs, g.targets, g.state, g.lengths, g.resets)
    numpy = part.backend.to_numpy
    return Step(numpy(found.loss_sum), found.count, Gradients(numpy(found.grads.params), None, None), None)


def _has_range(backend: Backend, case: Case, judge: Judge) -> None:
    aligned = case.net.loss is not None and case.net.loss.aligned
    judge.applies(not aligned or backend.precision != "f16", "f16 has no range for the logarithms of a row's labels")


def _judge_sums(judge: Judge, shares: Shares, seed: int) -> None:
    first, *others = shares.each(Question.step)
    judge.close("the sums of worker 0", sums(first), shares.reference(seed))
    for rank, step in enumerate(others, 1):
        judge.holds(f"the count of worker {rank}", step.count == first.count, step.count, first.count)
        judge.exactly(f"the loss of worker {rank}", {"loss_sum": step.loss_sum}, {"loss_sum": first.loss_sum})
        judge.exactly(f"the gradients of worker {rank}", step.grads.params, first.grads.params)
