"""A recurrence on given arrays: its values and gradients, beside a layer's, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question, ask, refuses
from conformance.properties.operands import layers
from conformance.properties.operands.asking import recurrence
from conformance.registry import law
from conformance.statements import OPERANDS
from conformance.tolerance import Reference
from conformance.tolerance.answers import named
from rnnspec import Backend, Gradients, Layer
from rnnspec.tree import Tree

FOREIGN = (np.nan, np.inf)


@law(OPERANDS["P160"], cases=layers.operands, needs=("recur",), also=("lengths", "resets", "heads"), oracle=True)
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run with the oracle, which takes the same arrays."""
    question = _ask(backend, case)
    judge.close("recur", recurrence(question).run(), question.run_reference())


@law(OPERANDS["P161"], cases=layers.operands, needs=("recur", "gradients"), also=("lengths", "resets", "heads"),
     oracle=True)  # fmt: skip
def gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a pullback of outputs and final states with the oracle's."""
    question = _ask(backend, case)
    judge.close("recur_pullback", recurrence(question).pull(), question.pull_reference())


@law(OPERANDS["P162"], cases=layers.mapped, needs=("recur", "lengths"), also=("gradients", "heads"))
def maps(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes the products in float64, and rounds them once; then gradients of the maps from those of the products."""
    question = ask(backend, case)
    question = question if backend.capabilities.resets else question.but(resets=None)
    other = _multiplied(question)
    judge.agree("run", recurrence(other).run(), question.run(), question.run_reference())
    if judge.gradients:
        judge.agree("pullback", _mapped(question, other, recurrence(other).pull()), question.pull(),
                    question.pull_reference())  # fmt: skip


@law(OPERANDS["P163"], cases=layers.short, needs=("recur", "lengths"), also=("gradients", "heads"))
def broken(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes one number NaN or infinite at the middle step of a row, and asks the oracle which results that reaches."""
    question = _ask(backend, replace(case, padding=0.0))
    row = int(np.argmax(question.ends))
    judge.applies(case.batch > 0 and int(question.ends[row]) > 0, "no row has a step")
    inputs = np.array(question.given.inputs)
    inputs[int(question.ends[row]) // 2, row, case.seed % inputs.shape[2]] = FOREIGN[case.seed // 7 % len(FOREIGN)]
    other = question.but(inputs=inputs)
    with np.errstate(all="ignore"):
        answers: list[tuple[Any, Reference]] = [(recurrence(other).run(), other.run_reference())]
        if judge.gradients:
            answers.append((recurrence(other).pull(), other.pull_reference()))
    for answer, reference in answers:
        expected = reference.own().expected()
        for place, a in named(answer):
            spoilt = int((~np.isfinite(a) & np.isfinite(expected[place])).sum())
            judge.holds(f"{place}, where one number is not finite", not spoilt, f"{spoilt} numbers", "finite numbers")


@law(OPERANDS["P164"], cases=layers.short, needs=("recur", "lengths"), also=("gradients", "heads"))
def refused(backend: Backend, case: Case, judge: Judge) -> None:
    """Leaves out an array, adds one, and gives one of another width, with another axis, and of other steps."""
    asked = recurrence(_ask(backend, case))
    name, first = max(asked.given.items(), key=lambda item: item[0])
    wrong: dict[str, Tree] = {
        "no array": {}, "an array less": {other: a for other, a in asked.given.items() if other != name},
        "an array more": {**asked.given, "unheard_of": first}, "a list": list(asked.given.values()),
        "another axis": {**asked.given, name: first[..., None, None]}, "no rows": {**asked.given, name: first[:, 0]},
        "more rows": {**asked.given, name: np.concatenate([first, first], 1)},
        "more steps": {**asked.given, name: np.concatenate([first, first], 0)},
    }  # fmt: skip
    for what, given in wrong.items():
        judge.holds(f"refusal of {what}", refuses(replace(asked, given=given).run), "an answer, or another error",
                    "an RnnSpecError")  # fmt: skip
    for what, params in (("other kinds", {"V": {}}), ("another vector", {**asked.params, "p": {"unheard_of": first}})):
        judge.holds(f"refusal of {what} of parameters", refuses(replace(asked, params=params).run),
                    "an answer, or another error", "an RnnSpecError")  # fmt: skip
    if judge.gradients:
        short = replace(asked, output_cotangent=asked.output_cotangent[..., :-1])
        judge.holds("refusal of a cotangent of other features", refuses(short.pull), "an answer, or another error",
                    "an RnnSpecError")  # fmt: skip


def _ask(backend: Backend, case: Case) -> Question:
    """The question of a case, without resets where the backend has none; maps of a layer make what is given."""
    question = ask(backend, case)
    question = question if backend.capabilities.resets else question.but(resets=None)
    return _multiplied(question) if question.net.layers[0].mapped else question


def _multiplied(question: Question) -> Question:
    """The question of the recurrence alone, on the products of the maps."""
    g, layer = question.given, question.net.layers[0]
    own = g.params["layers"][0]["forward"]
    inputs = question.net.input_features if layer.cell.reads_input else None
    alone = Layer(layer.cell, layer.hidden, inputs=inputs, mapped=False)
    kind = g.inputs.dtype
    with np.errstate(all="ignore"):
        wide = {name: (g.inputs.astype(np.float64) @ w.T.astype(np.float64) + own["b"][name]).astype(kind)
                for name, w in own["W"].items()}  # fmt: skip
    parts = [wide.get(name, g.inputs) for name, _ in alone.cell.given or ()]
    params = {"layers": [{"forward": {"W": {}, "b": {}, "U": own["U"], "p": own["p"]}}]}
    return replace(question, net=layers.network_of(alone), given=replace(g, inputs=np.concatenate(parts, -1),
                                                                          params=params))  # fmt: skip


def _mapped(question: Question, alone: Question, found: Gradients) -> Gradients:
    """The gradients of the layer with maps from those of its products."""
    own = question.given.params["layers"][0]["forward"]
    x = np.where((np.arange(question.steps)[:, None] < question.ends)[..., None], question.given.inputs, 0)
    low, W, b, into = 0, dict[str, Any](), dict[str, Any](), np.zeros(x.shape, np.float64)
    kind = x.dtype
    for name, width in alone.net.layers[0].cell.given or ():
        d = np.asarray(found.inputs[..., low : low + width], np.float64)
        low += width
        if name not in own["W"]:
            into += d
            continue
        W[name], b[name] = np.einsum("tbi,tbj->ij", d, x).astype(kind), d.sum((0, 1)).astype(kind)
        into += d @ own["W"][name]
    learned = found.params["layers"][0]["forward"]
    params = {"layers": [{"forward": {**learned, "W": W, "b": b}}]}
    return Gradients(params, into.astype(kind), found.state)
