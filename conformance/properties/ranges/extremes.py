"""Extremes: what large numbers and NaN become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.statements import EXTREMES
from conformance.tolerance.answers import named
from rnnspec import Backend, Cell
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tree import Tree, leaves, named_map, tree_map

LARGE = {"f16": 4, "bf16": 12, "f32": 12, "f64": 12}
"""2 to this power is large: exp overflows there, and a few times that does not."""


@law(EXTREMES["P68"], cases=networks.cells, needs=("lengths",), also=("gradients",), oracle=True)
def finite(backend: Backend, case: Case, judge: Judge) -> None:
    """Inputs and initial states of thousands, at which gates saturate: nothing is infinite, NaN, or held in a range."""
    question = ask(backend, replace(case, padding=0.0))
    g, k = question.given, LARGE[backend.precision]
    large = question.but(inputs=np.ldexp(g.inputs, k), state=tree_map(lambda s: np.ldexp(s, k), g.state))
    with np.errstate(all="ignore"):
        references = [large.run_reference().own(), large.pull_reference().own()]
    finite = [all(np.isfinite(a).all() for a in reference.expected().values()) for reference in references]
    judge.applies(all(finite), "the equations have no finite answer")
    answers = [("run", large.run()), *([("pullback", large.pull())] if judge.gradients else [])]
    for what, answer in answers:
        for name, a in named(answer):
            judge.holds(f"{what} {name}", bool(np.isfinite(a).all()), "NaN or infinity", "finite numbers")
    for (what, answer), reference in zip(answers, references, strict=False):
        if not reference.ill_posed:
            judge.close(what, answer, reference)


@law(EXTREMES["P97"], cases=networks.cells, needs=("lengths",), also=("gradients",), oracle=True)
def zeros(backend: Backend, case: Case, judge: Judge) -> None:
    """A row's middle and last steps are zeros; all states are; the recurrent maps are."""
    question = ask(backend, replace(case, padding=0.0))
    g, rows = question.given, np.arange(case.batch)
    x = np.array(g.inputs)
    for step in (question.ends // 2, question.ends - 1):
        x[step[question.ends > 0], rows[question.ends > 0]] = 0
    for what, given in (("steps", {"inputs": x}), ("states", {"state": tree_map(np.zeros_like, g.state)}),
                        ("recurrent maps", {"params": named_map(_without_maps, g.params)})):  # fmt: skip
        other = question.but(**given)
        judge.close(f"run with {what} of zeros", other.run(), other.run_reference())
        if judge.gradients:
            judge.close(f"pullback with {what} of zeros", other.pull(), other.pull_reference())


@law(EXTREMES["P68-loss"], cases=networks.losses, needs=("lengths", "gradients"), oracle=True)
def large_losses(backend: Backend, case: Case, judge: Judge) -> None:
    """Outputs of thousands, at which probabilities are 0 and 1; and outputs with one large number added to all."""
    question, k = ask(backend, replace(case, padding=0.0)), LARGE[backend.precision]
    own = question.given.params["output"]
    grown = _with_output(question, tree_map(lambda w: np.ldexp(w, k), own))
    step = grown.step()
    judge.close("the loss of large outputs", step.loss_sum, grown.step_reference().at("loss_sum"))
    for name, a in named(step.grads):  # of the oracle's, those of probabilities near 0 underflow in this precision
        judge.holds(f"gradients of {name}", bool(np.isfinite(a).all()), "NaN or infinity", "finite numbers")
    lifted = _with_output(question, {**own, "b": own["b"] + own["b"].dtype.type(2**k)})
    judge.close("lifted outputs", lifted.step(), lifted.step_reference())


@law(EXTREMES["P69"], cases=networks.cells, needs=("lengths",), also=("gradients",), oracle=True)
def not_laundered(backend: Backend, case: Case, judge: Judge) -> None:
    """One row's inputs are NaN at its last step: so are its output and states, where the graph leads there.

    And one number of a state, a parameter or a cotangent: what is NaN in the oracle's answer is no number.
    """
    question = ask(backend, case)
    row = int(np.argmax(question.ends)) if case.batch else 0
    judge.applies(case.batch > 0 and int(question.ends[row]) > 0, "no row has a step")
    last, x = int(question.ends[row]) - 1, np.array(question.given.inputs)
    x[last, row] = np.nan
    answer = question.but(inputs=x).run()
    reached = _nan_reaches(case.net.layers[0].cell)
    got = {OUTPUT: answer.outputs[last, row]} | {state: s[row] for state, s in answer.state[0]["forward"].items()}
    for name, a in got.items():
        if name in reached:
            judge.exactly(f"{name or 'the output'} of NaN", a, np.nan)
    _judge_one_nan(judge, question, row)


def _judge_one_nan(judge: Judge, question: Question, row: int) -> None:
    g = question.given
    for what in ("state", "params", *(["state_cotangent"] if judge.gradients else [])):
        tree = tree_map(np.array, getattr(g, what))
        if not list(leaves(tree)):
            continue
        name, first = min(leaves(tree), key=lambda pair: pair[0])
        first[0 if what == "params" else row, ...] = np.nan
        broken = question.but(**{what: tree})
        with np.errstate(all="ignore"):
            pulls = what == "state_cotangent"
            reference = (broken.pull_reference() if pulls else broken.run_reference()).own()
            answer = dict(named(broken.pull() if pulls else broken.run()))
        for place, expected in reference.expected().items():
            lost = int((np.isnan(expected) & ~np.isnan(answer[place])).sum())
            judge.holds(f"{place}, where {what} {name} is NaN", not lost, f"{lost} numbers", "NaN")


def _without_maps(name: str, a: Any) -> Any:
    return np.zeros_like(a) if ".U." in name else a


def _with_output(question: Question, output: Tree) -> Question:
    return question.but(params={**question.given.params, "output": output})


def _nan_reaches(cell: Cell) -> set[str]:
    """The results that are NaN where all inputs are: selection by a condition of NaN takes the second choice."""
    lost: list[bool] = []
    for node in cell.graph.nodes:
        operands = [lost[arg] for arg in node.args]
        chosen = (
            operands[2:] if node.op == "where" and operands[0] else operands[1:] if node.op == "where" else operands
        )
        chosen = [] if node.op == "width" else chosen
        lost.append(node.op == "input" or (all(chosen) if node.op == "where" else any(chosen)))
    return {name for name, index in cell.graph.results if lost[index]}
