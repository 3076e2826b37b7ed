"""The batch: its rows are alone, in any order, and gradients of parameters are sums over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask, in_order, is_eager, of_rows, only_rows
from conformance.registry import law
from conformance.statements import ROWS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Gradients, Result
from rnnspec.tree import Tree, leaves, tree_map

SIZES = (1, 2, 7, 31, 32, 130)
"""Of rows: one, whole blocks, and what is left of them."""


@law(ROWS["P25"], cases=networks.pulls, needs=("lengths",), also=("gradients",))
def permuted(backend: Backend, case: Case, judge: Judge) -> None:
    """Orders the rows by chance, longest first, and shortest first."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    judge.applies(case.batch > 1, "one row has no order")
    whole, ends, pulled = question.run(), question.ends, question.pull() if judge.gradients else None
    for order in (np.random.default_rng(case.seed).permutation(case.batch), np.argsort(ends), np.argsort(-ends)):
        other, back = in_order(question, order), np.argsort(order)
        judge.agree(f"run in order {order}", _rows(other.run(), back), whole, tolerance.run(case, profile))
        if pulled:
            gradients = other.pull()
            judge.agree(f"pullback in order {order}", {"params": gradients.params} | _rows(gradients, back), pulled,
                        tolerance.pullback(case, profile))  # fmt: skip


@law(ROWS["P26"], cases=networks.pulls, needs=("lengths",), also=("gradients",))
def parted(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives each part the other's rows with length 0."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    judge.applies(case.batch > 1, "one row has no parts")
    rows = np.arange(case.batch) % 2 == case.seed % 2
    one, other = only_rows(question, np.flatnonzero(rows)), only_rows(question, np.flatnonzero(~rows))
    a, b, whole = one.run(), other.run(), question.run()
    judge.agree("run", {"outputs": np.where(rows[:, None], a.outputs, b.outputs),
                        "state": tree_map(lambda s, t: of_rows(rows, s, t), a.state, b.state)},
                whole, tolerance.run(case, profile))  # fmt: skip
    if not judge.gradients:
        return
    p, q = one.pull(), other.pull()
    judge.agree("pullback", {"params": tree_map(lambda g, h: g + h, p.params, q.params),
                             "inputs": np.where(rows[:, None], p.inputs, q.inputs),
                             "state": tree_map(lambda s, t: of_rows(rows, s, t), p.state, q.state)},
                question.pull(), tolerance.pullback(case, profile))  # fmt: skip


@law(ROWS["P26-loss"], cases=networks.losses, needs=("lengths", "gradients"))
def parted_loss(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives each part the other's rows with length 0."""
    question, reference = ask(backend, case), tolerance.value_and_grad(case, PROFILES[backend.precision])
    judge.applies(case.batch > 1, "one row has no parts")
    rows = np.arange(case.batch) % 2 == case.seed % 2
    a, b = (only_rows(question, np.flatnonzero(part)).step() for part in (rows, ~rows))
    whole = question.step()
    real = int(case.real.sum())
    judge.holds("the count", a.count + b.count == whole.count == real, [a.count, b.count, whole.count], real)
    found = {"loss_sum": a.loss_sum + b.loss_sum, "count": a.count + b.count,
             "grads": {"params": tree_map(lambda g, h: g + h, a.grads.params, b.grads.params),
                       "inputs": np.where(rows[:, None], a.grads.inputs, b.grads.inputs),
                       "state": tree_map(lambda s, t: of_rows(rows, s, t), a.grads.state, b.grads.state)},
             "state": tree_map(lambda s, t: of_rows(rows, s, t), a.state, b.state)}  # fmt: skip
    judge.agree("value_and_grad", found, whole, reference)


@law(ROWS["P27"], cases=networks.pulls, needs=("lengths", "gradients"))
def doubled(backend: Backend, case: Case, judge: Judge) -> None:
    """The first half of the rows once, the others of length 0; and in the place of the others too."""
    question = ask(backend, case)
    judge.applies(case.batch > 1, "one row has no other's place")
    judge.applies(bool(list(leaves(question.given.params))), "there is no parameter")
    half = case.batch // 2
    order = np.arange(case.batch)
    order[half : 2 * half] = order[:half]
    twice = only_rows(in_order(question, order), np.arange(2 * half)).pull()
    once = only_rows(in_order(question, order), np.arange(half))
    judge.agree("parameter gradients", tree_map(lambda g: g / 2, twice.params), once.pull().params,
                once.pull_reference().at("params"))  # fmt: skip


@law(ROWS["P28"], cases=networks.calls, needs=("lengths",), also=("gradients",))
def isolated(backend: Backend, case: Case, judge: Judge) -> None:
    """Neither its outputs, nor its states, nor the gradients of its inputs and states."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    judge.applies(case.batch > 1 and case.steps > 0, "there is no other row")
    row = int(np.argmax(question.ends))
    judge.applies(int(question.ends[row]) > 0, "no row has a step")
    others = np.arange(case.batch) != row
    whole, pulled, g = question.run(), question.pull() if judge.gradients else None, question.given
    for value in (np.nan, np.inf, -np.inf):
        x = np.array(g.inputs)
        x[case.seed % int(question.ends[row]), row] = value
        broken = question.but(inputs=x)
        judge.equal(f"run beside {value}", _rows(broken.run(), others), _rows(whole, others),
                    _kept(tolerance.run(case, profile), others))  # fmt: skip
        if pulled:
            judge.equal(f"pullback beside {value}", _rows(broken.pull(), others), _rows(pulled, others),
                        _kept(tolerance.pullback(case, profile), others))  # fmt: skip


@law(ROWS["P29"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def sizes(backend: Backend, case: Case, judge: Judge) -> None:
    """1 to 130 rows, drawn from the case's own. Where every size is another program, in tier deep alone."""
    judge.applies(is_eager(backend), "each batch size costs this backend a compiled program")
    question = ask(backend, case)
    judge.applies(case.batch > 0, "there is no row")
    profile, pulled = PROFILES[backend.precision], question.pull() if judge.gradients else None
    whole, reference = question.run(), tolerance.run(case, profile)
    for size in SIZES:
        order = np.arange(size) * 3 % case.batch
        answer = in_order(question, order).run()
        picked = _picked(reference, order)
        if pulled:
            judge.agree(f"gradients of {size} rows", _rows(in_order(question, order).pull(), slice(None)),
                        _rows(pulled, order), _kept(tolerance.pullback(case, profile), order))  # fmt: skip
        judge.agree(f"{size} rows", {"outputs": answer.outputs, "state": answer.state},
                    {"outputs": whole.outputs[:, order], "state": _states(whole.state, order)}, picked)  # fmt: skip


def _states(state: Tree, rows: Any) -> Tree:
    return tree_map(lambda s: s[rows], state)


def _rows(answer: Result | Gradients, rows: Any) -> Tree:
    """Of the leaves that have rows, some."""
    over_time = {"outputs": answer.outputs} if isinstance(answer, Result) else {"inputs": answer.inputs}
    return {name: a[..., rows, :] for name, a in over_time.items()} | {"state": _states(answer.state, rows)}


def _kept(reference: tolerance.Reference, rows: Any) -> tolerance.Reference:
    """The leaves that have rows, and of them some."""
    wanted = {name: a for name, a in reference.leaves.items() if name.split(".")[0] in ("outputs", "inputs", "state")}
    return _sliced(reference, wanted, rows)


def _picked(reference: tolerance.Reference, rows: Any) -> tolerance.Reference:
    return _sliced(reference, reference.leaves, rows)


def _sliced(reference: tolerance.Reference, wanted: dict[str, Any], rows: Any) -> tolerance.Reference:
    leaves = {name: a[:, rows] if name.startswith("state") else a[..., rows, :] for name, a in wanted.items()}
    return replace(reference, leaves=leaves, again=lambda runs: _kept(reference.again(runs), rows))
