"""Calling: arguments that are left out, of another type, or used again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, in_order, is_eager, refuses
from conformance.properties.calls.spans import WHOLE
from conformance.properties.learning.training import train, train_reference
from conformance.registry import law
from conformance.statements import CALLS
from conformance.tolerance import PROFILES
from rnnspec import Backend, chain
from rnnspec.policies import ClipByGlobalNorm
from rnnspec.tree import Tree, leaves, tree_map
from rnnspec.updates import Adam

RULE = chain(ClipByGlobalNorm(5.0), Adam(0.01, 0.875, epsilon=1e-4))
"""The rule that `conformance.properties.control.finished` trains with, so that it costs no program."""
TYPES = (np.float64, np.float32, np.float16, np.int32)
REFUSAL = ("an answer, or an error of another kind", "an RnnSpecError")


@law(CALLS["P08-loss"], cases=lambda scope: {**networks.losses(scope), **networks.plain(scope)}, needs=("gradients",))
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


@law(CALLS["P95"], cases=lambda scope: {**networks.pulls(scope), **networks.plain(scope)}, also=("gradients",))
def left_out(backend: Backend, case: Case, judge: Judge) -> None:
    """Leaves arguments out after calls that were given them."""
    question = ask(backend, case)
    zeros = tree_map(np.zeros_like, question.given.state)
    from_zeros, unseen = question.but(state=zeros), question.but(state=None)
    if case.net.output is not None and judge.gradients:
        question.step()
        judge.equal("a loss without a state", unseen.step(), from_zeros.step(), from_zeros.step_reference())
        return
    question.run()
    judge.equal("run without a state", unseen.run(), from_zeros.run(), from_zeros.run_reference())
    _judge_fewer_rows(judge, unseen)
    if not judge.gradients:
        return
    question.pull()
    outputs, reference = from_zeros.but(state_cotangent=zeros), from_zeros.pull_reference()
    judge.equal("pullback without a state", unseen.pull(), from_zeros.pull(), reference)
    judge.equal("pullback without a state's cotangent", from_zeros.but(state_cotangent=None).pull(), outputs.pull(),
                outputs.pull_reference())  # fmt: skip


@law(CALLS["P39-broadcast"], cases=networks.pulls, needs=("lengths",), also=("gradients",))
def broadcast(backend: Backend, case: Case, judge: Judge) -> None:
    """Broadcasts states and cotangents, as the cotangent of a sum is."""
    question = ask(backend, case)
    g = question.given
    wide = {"output_cotangent": _broadcast(g.output_cotangent), "state": tree_map(_broadcast, g.state),
            "state_cotangent": tree_map(_broadcast, g.state_cotangent)}  # fmt: skip
    one = question.but(**wide)
    many = question.but(**{name: tree_map(np.array, tree) for name, tree in wide.items()})
    judge.equal("run", one.run(), many.run(), many.run_reference())
    if judge.gradients:
        judge.equal("pullback", one.pull(), many.pull(), many.pull_reference())


@law(CALLS["P39-shared"], cases=networks.pulls, needs=("lengths",), also=("gradients",), oracle=True, once=True)
def shared(backend: Backend, case: Case, judge: Judge) -> None:
    """One array for all states of a layer, and for their cotangents; one tree of parameters for both halves."""
    g = case.arrays(backend.precision)
    tied = ask(backend, case).but(params=_tied(g.params), state=_tied(g.state),
                                  state_cotangent=_tied(g.state_cotangent))  # fmt: skip
    judge.close("run", tied.run(), tied.run_reference())
    if judge.gradients:
        judge.close("pullback", tied.pull(), tied.pull_reference())


@law(CALLS["P72"], cases=lambda scope: {**networks.cells(scope), **networks.bidirectional(scope)}, needs=("lengths",),
     also=("gradients",))  # fmt: skip
def refused(backend: Backend, case: Case, judge: Judge) -> None:
    """Lengths beyond the time, below 0, too few or of fractions; inputs, states and cotangents of other shapes."""
    question = ask(backend, case)
    judge.applies(case.batch > 0 and case.steps > 0, "every array is empty")
    g, ends, before = question.given, question.ends, question.run()
    wrong = {
        "a length beyond the time": question.but(lengths=ends + (np.arange(len(ends)) == 0) * (case.steps + 1)),
        "a negative length": question.but(lengths=np.where(np.arange(len(ends)) == 0, -1, ends)),
        "too few lengths": question.but(lengths=ends[:-1]),
        "lengths of fractions": question.but(lengths=ends + 0.5),
        "a feature too many": question.but(inputs=np.concatenate([g.inputs, g.inputs[..., :1]], -1)),
    }
    if list(leaves(g.state)):
        wrong["a state of a row too few"] = question.but(state=tree_map(lambda s: s[:-1], g.state))
    if list(leaves(g.params)):
        wrong["a row too many in every map"] = question.but(params=tree_map(_with_a_row_more, g.params))
    for what, asked in wrong.items():
        judge.holds(f"refusal of {what}", refuses(asked.run), *REFUSAL)
    if judge.gradients:
        odd = question.but(output_cotangent=g.output_cotangent[..., :-1])
        judge.holds("refusal of a cotangent of a feature too few", refuses(odd.pull), *REFUSAL)
    judge.equal("run after refusals", question.run(), before, question.run_reference())


@law(CALLS["P96"], cases=lambda scope: {**networks.cells(scope), **networks.losses(scope)}, needs=("lengths",),
     also=("gradients",))  # fmt: skip
def types(backend: Backend, case: Case, judge: Judge) -> None:
    """All arrays of float64, float32, float16 and int32; lengths and classes of any width and sign, and strided."""
    profile = PROFILES[backend.precision]
    drawn, right = Question(backend, case.net, case.arrays("f64")), ask(backend, case)
    for lengths in _spelt(drawn.ends):
        judge.equal(f"run, lengths {lengths.dtype}", right.but(lengths=lengths).run(), right.run(),
                    right.run_reference())  # fmt: skip
    g = drawn.given
    trees = {"params": g.params, "inputs": _finite(g.inputs), "state": g.state,
             "output_cotangent": _finite(g.output_cotangent), "state_cotangent": g.state_cotangent}  # fmt: skip
    for dtype in TYPES:
        given = {name: tree_map(lambda a, dtype=dtype: a.astype(dtype), tree) for name, tree in trees.items()}
        nearest = right.but(**{name: tree_map(lambda a: profile.round(a.astype(np.float64)), a) for name, a in
                               given.items()})  # fmt: skip
        asked = nearest.but(**given)
        judge.equal(f"run, {np.dtype(dtype)}", asked.run(), nearest.run(), nearest.run_reference())
        if judge.gradients and case.net.output is None:
            judge.equal(f"pullback, {np.dtype(dtype)}", asked.pull(), nearest.pull(), nearest.pull_reference())
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
    kinds = [kind for kind in WHOLE if numbers.min(initial=0) >= 0 or np.dtype(kind).kind == "i"]
    return [numbers.astype(kind) for kind in kinds] + [np.repeat(numbers, 2, -1)[..., ::2]]


def _judge_fewer_rows(judge: Judge, unseen: Question) -> None:
    """Zeros for few rows are not what is left of those for many."""
    if is_eager(unseen.backend) and len(unseen.ends) > 1:
        few = in_order(unseen.but(state=tree_map(np.zeros_like, unseen.given.state_cotangent)), np.arange(2))
        for _ in range(2):
            judge.equal("run of two rows without a state", few.but(state=None).run(), few.run(), few.run_reference())


def _broadcast(a: Any) -> Any:
    """One number in the place of all, which lies in memory once."""
    return np.broadcast_to(a.ravel()[:1].reshape((1,) * a.ndim) if a.size else a, a.shape)


def _tied(tree: Tree) -> Tree:
    """Arrays of one shape in one branch are one array, and alike branches of a list are one branch."""
    if isinstance(tree, list):
        return [_tied(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    branches: dict[Any, Tree] = {}
    found = {name: _tied(part) for name, part in tree.items()}
    return {name: branches.setdefault(_outline(part), part) for name, part in found.items()}


def _outline(tree: Tree) -> str:
    return repr(tree_map(np.shape, tree))


def _with_a_row_more(a: Any) -> Any:
    return np.concatenate([a, a[:1]])
