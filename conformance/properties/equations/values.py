"""Values: those of the oracle; the same for the same question, whatever was asked before; in memory of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case, window
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.statements import CALLS, SEQUENCE, VALUES
from conformance.tolerance import PROFILES
from rnnspec import Backend
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import leaves, tree_map


@law(VALUES["P01"], cases=networks.everything, needs=("lengths",), oracle=True)
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run with the oracle, on every network and with every kind of lengths."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(VALUES["P01-plain"], cases=networks.without_lengths, oracle=True)
def values_without_lengths(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run without lengths with the oracle."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(CALLS["P07"], cases=networks.calls, needs=("lengths",), also=("gradients",))
def repeated(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for values and for gradients twice."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    judge.equal("run", question.run(), question.run(), tolerance.run(case, profile))
    if judge.gradients:
        judge.equal("pullback", question.pull(), question.pull(), tolerance.pullback(case, profile))


@law(CALLS["P08"], cases=networks.calls, needs=("lengths",), also=("gradients",))
def pure(backend: Backend, case: Case, judge: Judge) -> None:
    """The same arrays are filled with another question in between, with the first again, and one by one."""
    profile, able = PROFILES[backend.precision], judge.gradients
    question, other = ask(backend, case), ask(backend, replace(case, seed=case.seed + 1))
    kept, given = tree_map(np.array, _arrays(question)), _arrays(question)
    raw = [_own_answer(question), *([_own_pullback(question)] if able else [])]
    judge.exactly("arguments after the calls", given, kept)
    answer, *pulled = tree_map(np.array, backend.to_numpy(raw))
    _fill(question, other)
    judge.equal("run, its arrays filled anew", question.run(), other.run(), other.run_reference())
    if able:
        judge.equal("pullback, its arrays filled anew", question.pull(), other.pull(), other.pull_reference())
    judge.exactly("the first answers, later", backend.to_numpy(raw), [answer, *pulled])
    _fill(question, ask(backend, case))
    unseen = question.but(state=None)
    judge.equal("run without a state", unseen.run(), _from_zeros(question).run(), unseen.run_reference())
    again = question.run()
    judge.equal("run after others", [again.outputs, again.state], answer, _pair(tolerance.run(case, profile)))
    if able:
        found = question.pull()
        judge.equal("pullback after others", [found.params, found.inputs, found.state], pulled[0],
                    _triple(tolerance.pullback(case, profile)))  # fmt: skip
    _judge_one_by_one(judge, question, other)


@law(CALLS["P09"], cases=networks.calls, needs=("lengths",), also=("gradients",))
def own_memory(backend: Backend, case: Case, judge: Judge) -> None:
    """The backend's own arrays go in, and are overwritten where they can be; answers must not move."""
    question = ask(backend, case)
    g = question.given
    given = backend.asarray([g.params, g.inputs, g.state, g.output_cotangent, g.state_cotangent])
    params, inputs, state, w, ws = given
    kept = backend.to_numpy(given)
    own = question.but(params=params, inputs=inputs, state=state, output_cotangent=w, state_cotangent=ws)
    raw = [*_own_answer(own), *(_own_pullback(own) if judge.gradients else [])]
    judge.exactly("own arrays after the calls", given, kept)
    _overwrite([g.params, g.inputs, g.state])
    judge.exactly("own arrays when those that they were made from are overwritten", given, kept)
    answers = tree_map(np.array, backend.to_numpy(raw))
    shapes = [g.output_cotangent.shape, g.state, g.params, g.inputs, g.state]
    for got, like in zip(answers, shapes[: len(answers)], strict=True):
        wanted = like if isinstance(like, tuple) else tree_map(np.shape, like)
        found = got.shape if isinstance(like, tuple) else tree_map(np.shape, got)
        judge.holds("shapes", found == wanted, found, wanted)
    dtypes = sorted({backend.own_dtype(a).split(".")[-1] for _, a in leaves(raw)})
    judge.holds("dtype", dtypes == [DTYPES[backend.precision]], dtypes, [DTYPES[backend.precision]])
    _overwrite(given)
    judge.exactly("answers when the arguments are overwritten", backend.to_numpy(raw), answers)
    for i, part in enumerate(raw):
        before = tree_map(np.array, backend.to_numpy(raw[:i] + raw[i + 1 :]))
        _overwrite(part)
        judge.exactly("answers when another is overwritten", backend.to_numpy(raw[:i] + raw[i + 1 :]), before)


@law(SEQUENCE["P15"], cases=networks.cells, needs=("lengths",))
def step_by_step(backend: Backend, case: Case, judge: Judge) -> None:
    """Calls the backend in a loop, one step for each call."""
    question = ask(backend, case)
    judge.applies(case.steps <= 64, "a loop of calls over so many steps takes too long")
    whole, state, found = question.run(), question.given.state, []
    for t in range(case.steps):
        x, lengths = window(question.given.inputs, question.given.lengths, t, t + 1)
        one = question.but(inputs=x, lengths=lengths, state=state).run()
        state = one.state
        found.append(one.outputs[0])
    judge.agree("step by step", {"outputs": np.stack(found), "state": state}, whole,
                tolerance.run(case, PROFILES[backend.precision]))  # fmt: skip


@law(CALLS["P39"], cases=networks.calls, needs=("lengths",), also=("gradients",))
def layout(backend: Backend, case: Case, judge: Judge) -> None:
    """Read-only, column-major, reversed, strided, unaligned arrays, and parts of larger ones."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    right, pulled = question.run(), question.pull() if judge.gradients else None
    for how in (_column_major, _reversed, _strided, _batch_major, _unaligned, _within):
        moved = _moved(question, how)
        judge.agree(f"run, {how.__doc__}", moved.run(), right, tolerance.run(case, profile))
        if pulled:
            judge.agree(f"pullback, {how.__doc__}", moved.pull(), pulled, tolerance.pullback(case, profile))


def _column_major(a: Any) -> Any:
    """column-major"""
    return np.asfortranarray(a)


def _reversed(a: Any) -> Any:
    """with negative strides"""
    return np.array(a[::-1])[::-1]


def _strided(a: Any) -> Any:
    """strided"""
    return np.repeat(a, 2, -1)[..., ::2]


def _batch_major(a: Any) -> Any:
    """the first two axes exchanged in memory"""
    return np.swapaxes(np.array(np.swapaxes(a, 0, 1)), 0, 1) if a.ndim > 1 else a


def _unaligned(a: Any) -> Any:
    """unaligned"""
    found = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    found[...] = a
    return found


def _within(a: Any) -> Any:
    """within a larger array"""
    return np.concatenate([np.full_like(a[:1], np.nan), a, np.full_like(a[:1], np.nan)])[1 : 1 + len(a)]


def _moved(question: Question, how: Any) -> Question:
    def move(a: Any) -> Any:
        found = how(a)
        found.flags.writeable = False
        return found

    g = question.given
    moved = {name: tree_map(move, getattr(g, name)) for name in ("params", "inputs", "state", "output_cotangent",
                                                                 "state_cotangent")}  # fmt: skip
    return question.but(**moved, lengths=None if g.lengths is None else np.array(g.lengths, np.int32))


def _judge_one_by_one(judge: Judge, question: Question, other: Question) -> None:
    """Every array of its own is another's, one after the other: whoever keeps answers must look at all of them."""
    g, h = question.given, other.given
    for (name, mine), (_, new) in zip(leaves([g.params, g.state]), leaves([h.params, h.state]), strict=True):
        np.copyto(mine, new)
        fresh = question.but(params=tree_map(np.array, g.params), state=tree_map(np.array, g.state))
        judge.equal(f"run, {name} alone filled anew", question.run(), fresh.run(), fresh.run_reference())


def _arrays(question: Question) -> list[Any]:
    g = question.given
    return [g.params, g.inputs, g.state, g.output_cotangent, g.state_cotangent]


def _own_answer(question: Question) -> list[Any]:
    """Outputs and state as the backend's own arrays."""
    g = question.given
    found = question.backend.run(question.net, g.params, g.inputs, g.state, g.lengths)
    return [found.outputs, found.state]


def _own_pullback(question: Question) -> list[Any]:
    """The gradients as the backend's own arrays."""
    g = question.given
    found = question.backend.pullback(question.net, g.params, g.inputs, g.output_cotangent, g.state_cotangent, g.state,
                                      g.lengths)  # fmt: skip
    return [found.params, found.inputs, found.state]


def _pair(reference: Any) -> Any:
    return _renamed(reference, ("outputs", "state"))


def _triple(reference: Any) -> Any:
    return _renamed(reference, ("params", "inputs", "state"))


def _renamed(reference: Any, names: tuple[str, ...]) -> Any:
    """The reference of a list of the answer's fields."""
    places = {name: str(i) for i, name in enumerate(names)}

    def rename(leaf: str) -> str:
        head, _, rest = leaf.partition(".")
        return ".".join(filter(None, (places[head], rest)))

    return replace(reference, leaves={rename(leaf): a for leaf, a in reference.leaves.items()},
                   again=lambda runs: _renamed(reference.again(runs), names))  # fmt: skip


def _fill(question: Question, other: Question) -> None:
    for mine, new in zip(_arrays(question), _arrays(other), strict=True):
        tree_map(np.copyto, mine, new)


def _from_zeros(question: Question) -> Question:
    return question.but(state=tree_map(np.zeros_like, question.given.state))


def _overwrite(tree: Any) -> None:
    for _, leaf in leaves(tree):
        if isinstance(leaf, np.ndarray) and leaf.flags.writeable:
            leaf[...] = 77
