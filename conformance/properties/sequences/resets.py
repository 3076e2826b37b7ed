"""Resets: the parts of a row are sequences by themselves, in values and in gradients, forward and in reverse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case, window
from conformance.judge import Judge
from conformance.properties import episodes, networks
from conformance.properties.asking import Question, ask, is_eager, refuses
from conformance.properties.learning.training import DESCENT, train, train_reference
from conformance.registry import law
from conformance.statements import RESETS
from conformance.tolerance import PROFILES
from rnnspec import Backend
from rnnspec.tree import Tree, tree_map

FOREIGN = (np.nan, np.inf, 1e30)
"""What must not cross a reset."""


@law(RESETS["P130"], cases=episodes.everything, needs=("lengths", "resets"), oracle=True)
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run with the oracle: single layers, and several above one another."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(RESETS["P131"], cases=episodes.everything, needs=("lengths", "resets", "gradients"), oracle=True)
def gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a pullback with the oracle: single layers, and several above one another."""
    judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))


@law(RESETS["P131-loss"], cases=episodes.every_loss, needs=("lengths", "resets", "gradients"), oracle=True)
def losses(backend: Backend, case: Case, judge: Judge) -> None:
    """Where another program costs nothing: a loss call, and a training step."""
    question = ask(backend, case)
    step = question.step()
    judge.close("value_and_grad", step, tolerance.value_and_grad(case, PROFILES[backend.precision]))
    judge.close("train_step", train(question, DESCENT), train_reference(question, DESCENT).at("0"))
    count = question.but(resets=None).step().count
    judge.holds("the count", step.count == count, step.count, count)


@law(RESETS["P132"], cases=episodes.both_halves, needs=("lengths", "resets"))
def fresh(backend: Backend, case: Case, judge: Judge) -> None:
    """Resets all rows at one step, and runs the steps before it and the steps from it on by themselves."""
    question = ask(backend, case)
    for at in _places(case):
        whole, (early, late) = _reset_at(question, at), (part.run() for part in _parts(question, at))
        outputs = np.concatenate([early.outputs[:at], late.outputs[: case.steps - at]])
        state = _of("forward", _crossing(question, at), late.state, early.state)
        judge.agree(f"parts from {at}", {"outputs": outputs, "state": state}, whole.run(), whole.run_reference())


@law(RESETS["P133"], cases=episodes.both_halves, needs=("lengths", "resets", "gradients"))
def fresh_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Adds the parameter gradients of both parts, and joins their input gradients."""
    question = ask(backend, case)
    for at in _places(case):
        whole, (early, late) = _reset_at(question, at), (part.pull() for part in _parts(question, at))
        found = {
            "params": tree_map(lambda a, b: a + b, early.params, late.params),
            "inputs": np.concatenate([early.inputs[:at], late.inputs[: case.steps - at]]),
            "state": _of("reverse", _crossing(question, at), late.state, early.state),
        }
        judge.agree(f"parts from {at}", found, whole.pull(), whole.pull_reference())


@law(RESETS["P134"], cases=episodes.both_halves, needs=("lengths", "resets"), also=("gradients",))
def first_step(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes every second row begin with a reset, and the forward state of those with a step NaN."""
    judge.applies(case.steps > 0 and case.batch > 0, "there is no step")
    question = ask(backend, case)
    rows = (np.arange(case.batch) % 2 == case.seed % 2) & (question.ends > 0)
    resets = np.array(question.given.resets)
    resets[0] = rows
    question = question.but(resets=resets)
    nowhere = tree_map(lambda s: np.full_like(s, np.nan), question.given.state)
    other = question.but(state=_of("forward", rows, nowhere, question.given.state))
    judge.equal("run from a state of NaN", other.run(), question.run(), question.run_reference())
    if judge.gradients:
        pulled = other.pull()
        judge.equal("pullback from a state of NaN", pulled, question.pull(), question.pull_reference())
        judge.exactly("gradients of states without effect", _forward(tree_map(lambda s: s[rows], pulled.state)), 0)


@law(RESETS["P135"], cases=episodes.both_halves, needs=("lengths", "resets"), also=("gradients",), oracle=True)
def none(backend: Backend, case: Case, judge: Judge) -> None:
    """Resets that are all false: the oracle without resets, and where that costs no program the call without them."""
    plain = ask(backend, case).but(resets=None)
    false = _reset_at(plain, None)
    calls: dict[str, tuple[Any, Any]] = {"run": (Question.run, plain.run_reference)}
    calls |= {"pullback": (Question.pull, plain.pull_reference)} if judge.gradients else {}
    for name, (call, reference) in calls.items():
        found = call(false)
        judge.close(name, found, reference())
        if is_eager(backend):
            judge.agree(f"{name}, and without resets", found, call(plain), reference())


@law(RESETS["P136"], cases=networks.padded(episodes.both_halves), needs=("lengths", "resets"),
     also=("gradients",))  # fmt: skip
def in_padding(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes all steps after a row's end resets, and then none."""
    question = ask(backend, case)
    real = np.arange(case.steps)[:, None] < question.ends
    judge.applies(not real.all(), "no row is padded")
    some, every = (question.but(resets=np.where(real, question.given.resets, after)) for after in (False, True))
    judge.equal("run", every.run(), some.run(), some.run_reference())
    if judge.gradients:
        judge.equal("pullback", every.pull(), some.pull(), some.pull_reference())


@law(RESETS["P137"], cases=episodes.both_halves, needs=("lengths", "resets", "bidirectional"),
     also=("gradients",))  # fmt: skip
def mirrored(backend: Backend, case: Case, judge: Judge) -> None:
    """Turns rows around and exchanges the halves; what began a part now ends one."""
    question = ask(backend, case)
    resets = np.array(question.given.resets)
    resets[:1] = False
    question = question.but(resets=resets)
    g, ends = question.given, question.ends
    other = question.but(
        params=_exchanged(g.params), inputs=_turned(g.inputs, ends), state=_exchanged(g.state),
        resets=_begins(resets, ends), output_cotangent=_rolled(_turned(g.output_cotangent, ends)),
        state_cotangent=_exchanged(g.state_cotangent),
    )  # fmt: skip
    answer = other.run()
    judge.agree("run", {"outputs": _rolled(_turned(answer.outputs, ends)), "state": _exchanged(answer.state)},
                question.run(), question.run_reference())  # fmt: skip
    if judge.gradients:
        pulled = other.pull()
        judge.agree("pullback", {"params": _exchanged(pulled.params), "inputs": _turned(pulled.inputs, ends),
                                 "state": _exchanged(pulled.state)},
                    question.pull(), question.pull_reference())  # fmt: skip


@law(RESETS["P138"], cases=episodes.both_halves, needs=("lengths", "resets", "deterministic"),
     also=("gradients",))  # fmt: skip
def closed(backend: Backend, case: Case, judge: Judge) -> None:
    """Spoils a step before a reset of all rows, and then a step after it, in inputs and in cotangents."""
    judge.applies(case.steps > 1, "there is one part only")
    at = _places(case)[0]
    question = _reset_at(ask(backend, replace(case, padding=0.0)), at)
    right, pulled = question.run(), question.pull() if judge.gradients else None
    for value in FOREIGN:
        for spoilt, clean in ((at - 1, slice(at, None)), (at, slice(0, at))):
            other = question.but(inputs=_spoilt(question.given.inputs, spoilt, value),
                                 output_cotangent=_spoilt(question.given.output_cotangent, spoilt, value))  # fmt: skip
            judge.exactly(f"outputs beside a part with {value}", other.run().outputs[clean], right.outputs[clean])
            if pulled:
                judge.exactly(f"input gradients beside a part with {value}", other.pull().inputs[clean],
                              pulled.inputs[clean])  # fmt: skip


@law(RESETS["P139"], cases=episodes.both_halves, needs=("lengths", "resets"), also=("gradients",))
def refused(backend: Backend, case: Case, judge: Judge) -> None:
    """Numbers, and other shapes; where programs cost nothing also in a loss and in a training step."""
    judge.applies(case.steps > 1 and case.batch > 1, "one row, or one step")
    question = ask(backend, case)
    r = question.given.resets
    wrong = {
        "whole numbers": r.astype(np.int64), "real numbers": r.astype(np.float64), "rows before steps": r.T,
        "one row": r[:, :1], "too many rows": np.concatenate([r, r[:, :1]], 1), "one for each row": r[0],
        "one step": r[:1], "too many steps": np.concatenate([r, r[:1]]), "an axis of features": r[..., None],
    }  # fmt: skip
    calls: dict[str, Any] = {"a run": Question.run} | ({"a pullback": Question.pull} if judge.gradients else {})
    if judge.gradients and case.net.loss is not None and is_eager(backend):
        calls |= {"a loss": Question.step, "a training step": lambda asked: train(asked, DESCENT)}
    for name, call in calls.items():
        for what, resets in wrong.items():
            judge.holds(f"refusal by {name} of resets that are {what}", refuses(call, question.but(resets=resets)),
                        "an answer, or an error of another kind", "an RnnSpecError")  # fmt: skip


def _places(case: Case) -> list[int]:
    """The steps that are made a reset: the first, one in the middle and the last of those that have a step before."""
    return sorted({at for at in (1, case.steps // 2 + case.seed % 2, case.steps - 1) if 0 < at < case.steps})


def _reset_at(question: Question, at: int | None) -> Question:
    """The question with a reset of all rows at one step, or with none."""
    resets = np.zeros(question.given.inputs.shape[:2], bool)
    resets[slice(0) if at is None else at] = True
    return question.but(resets=resets)


def _crossing(question: Question, at: int) -> Any:
    """The rows that have a step on either side."""
    return question.ends > at


def _parts(question: Question, at: int) -> tuple[Question, Question]:
    """The steps before and from a reset, in calls without one; a given state enters, and leaves, one of them."""
    question = _reset_at(question, None)
    g, crossing = question.given, _crossing(question, at)
    everybody, nobody = np.ones_like(crossing), np.zeros_like(crossing)

    def part(start: int, stop: int, enters: Tree, leaves: Tree) -> Question:
        inputs, lengths = window(g.inputs, question.ends, start, stop)
        return question.but(inputs=inputs, lengths=lengths, state=enters, state_cotangent=leaves,
                            output_cotangent=window(g.output_cotangent, None, start, stop)[0])  # fmt: skip

    early = part(0, at, _kept(g.state, everybody, ~crossing), _kept(g.state_cotangent, ~crossing, everybody))
    late = part(at, question.steps, _kept(g.state, nobody, everybody), _kept(g.state_cotangent, crossing, nobody))
    return early, late


def _kept(tree: Tree, forward: Any, reverse: Any) -> Tree:
    """A state with some rows of its forward half and some of its reverse one, zeros in all others."""
    zeros = tree_map(np.zeros_like, tree)
    return _of("forward", ~forward, zeros, _of("reverse", ~reverse, zeros, tree))


def _of(half: str, rows: Any, chosen: Tree, other: Tree) -> Tree:
    """A state with some rows of one half from `chosen`, and everything else from `other`."""
    def rows_of(a: Any, b: Any) -> Any:
        return np.where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return [{**layer, half: tree_map(rows_of, given[half], layer[half])} if half in layer else layer
            for given, layer in zip(chosen, other, strict=True)]  # fmt: skip


def _forward(state: Tree) -> Tree:
    return [{half: named for half, named in layer.items() if half == "forward"} for layer in state]


def _spoilt(values: Any, step: int, value: float) -> Any:
    found = np.array(values)
    found[step] = value
    return found


def _turned(values: Any, ends: Any) -> Any:
    """`(time, batch, ...)` with each row's real steps in the opposite order."""
    found = np.array(values)
    for row, end in enumerate(ends):
        found[:end, row] = values[:end, row][::-1]
    return found


def _begins(resets: Any, ends: Any) -> Any:
    """The resets of rows that are turned around: a part begins after its last step."""
    found = np.zeros_like(resets)
    for row, end in enumerate(ends):
        found[1:end, row] = resets[1:end, row][::-1]
    return found


def _exchanged(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {**tree, "layers": _exchanged(tree["layers"])}
    return [{"forward": layer["reverse"], "reverse": layer["forward"]} for layer in tree]


def _rolled(values: Any) -> Any:
    return np.roll(values, values.shape[-1] // 2, -1)
