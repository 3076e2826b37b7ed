"""Calling: arguments that are left out, of another type, or used again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.properties.training import train, train_reference
from conformance.registry import law
from conformance.tolerance import PROFILES
from rnnspec import Backend, chain
from rnnspec.policies import ClipByGlobalNorm
from rnnspec.tree import tree_map
from rnnspec.updates import Adam

RULE = chain(ClipByGlobalNorm(5.0), Adam(0.01, 0.875, epsilon=1e-4))
"""The rule that `conformance.properties.control` trains with, so that it costs no program."""
TYPES = (np.float64, np.float32, np.float16, np.int32)


@law("P08-loss", "a loss and a training step change none of their arguments and remember no call before",
     cases=lambda scope: {**networks.losses(scope), **networks.plain(scope)}, needs=("gradients",))  # fmt: skip
def pure(backend: Backend, case: Case, judge: Judge) -> None:
    """The same arrays are filled with another question in between; answers stay as they were given."""
    question, other = ask(backend, case), ask(backend, replace(case, seed=case.seed + 1))
    given = _arguments(question)
    kept = tree_map(np.array, given)
    raw = _own_step(question)
    first = tree_map(np.array, backend.to_numpy(raw))
    judge.exactly("arguments after a loss", given, kept)
    for mine, new in zip(given, _arguments(other), strict=True):
        tree_map(np.copyto, mine, new)
    judge.equal("a loss, its arrays filled anew", question.step(), other.step(), other.step_reference())
    judge.exactly("the first answer, later", backend.to_numpy(raw), first)
    if case.lengths is None:
        _judge_training(judge, question)


@law("P95", "what is left out is zeros, whatever was given before: the state, and the state's cotangent",
     cases=lambda scope: {**networks.pulls(scope), **networks.plain(scope)}, also=("gradients",))  # fmt: skip
def left_out(backend: Backend, case: Case, judge: Judge) -> None:
    """After calls with them."""
    question = ask(backend, case)
    zeros = tree_map(np.zeros_like, question.given.state)
    from_zeros, unseen = question.but(state=zeros), question.but(state=None)
    if case.net.output is not None:
        question.step()
        judge.equal("a loss without a state", unseen.step(), from_zeros.step(), from_zeros.step_reference())
        return
    question.run()
    judge.equal("run without a state", unseen.run(), from_zeros.run(), from_zeros.run_reference())
    if not judge.gradients:
        return
    question.pull()
    outputs, reference = from_zeros.but(state_cotangent=zeros), from_zeros.pull_reference()
    judge.equal("pullback without a state", unseen.pull(), from_zeros.pull(), reference)
    judge.equal("pullback without a state's cotangent", from_zeros.but(state_cotangent=None).pull(), outputs.pull(),
                outputs.pull_reference())  # fmt: skip


@law("P96", "numbers of another type are the nearest of the backend's, and whole numbers of any type the same",
     cases=lambda scope: {**networks.cells(scope), **networks.losses(scope)}, needs=("lengths",),
     also=("gradients",))  # fmt: skip
def types(backend: Backend, case: Case, judge: Judge) -> None:
    """Inputs and states of float64, float32, float16 and int32; lengths and classes of any width, and strided."""
    profile = PROFILES[backend.precision]
    drawn = Question(backend, case.net, case.arrays("f64"))
    for dtype, lengths in zip(TYPES, _spelt(drawn.ends), strict=True):
        given = {"inputs": _finite(drawn.given.inputs).astype(dtype),
                 "state": tree_map(lambda s, dtype=dtype: s.astype(dtype), drawn.given.state)}  # fmt: skip
        nearest = {name: tree_map(lambda a: profile.round(a.astype(np.float64)), a) for name, a in given.items()}
        right = ask(backend, case).but(**nearest)
        judge.equal(f"run, {np.dtype(dtype)} and lengths {lengths.dtype}", right.but(**given, lengths=lengths).run(),
                    right.run(), right.run_reference())  # fmt: skip
    classes = drawn.given.targets
    if judge.gradients and case.net.output is not None and classes.dtype.kind == "i":
        question = ask(backend, case)
        for targets in _spelt(classes):
            judge.equal(f"classes {targets.dtype}", question.but(targets=targets).step(), question.step(),
                        tolerance.value_and_grad(case, profile))  # fmt: skip


def _judge_training(judge: Judge, question: Question) -> None:
    given, state = _arguments(question), RULE.init(question.given.params)
    arguments = [given, list(state)]
    kept, first = tree_map(np.array, arguments), train(question, RULE, state)
    params = tree_map(np.array, first.params)
    judge.exactly("arguments after a training step", arguments, kept)
    again = train(question, RULE, state)
    judge.equal("a training step, again", again.params, params, train_reference(question, RULE).at("0.params"))
    judge.exactly("the first step's parameters, later", first.params, params)


def _arguments(question: Question) -> list[Any]:
    g = question.given
    return [g.params, g.inputs, g.state, g.targets]


def _own_step(question: Question) -> list[Any]:
    """A loss and its gradients as the backend's own arrays."""
    g = question.given
    step = question.backend.value_and_grad(question.net, g.params, g.inputs, g.targets, g.state, g.lengths)
    return [step.loss_sum, step.grads.params, step.grads.inputs, step.grads.state, step.state]


def _finite(a: Any) -> Any:
    return np.where(np.isfinite(a) & (np.abs(a) < 100), a, 0.0)


def _spelt(numbers: Any) -> list[Any]:
    """Whole numbers in several types, and as a part of a larger vector."""
    return [numbers.astype(dtype) for dtype in (np.int64, np.int32, np.int8)] + [np.repeat(numbers, 2, -1)[..., ::2]]
