"""Gradients: those of the oracle, of the values themselves by differences, linear in their cotangents, and zero where
nothing arrives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import STEPS, Case, Pull
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, flat, of_rows
from conformance.registry import law
from conformance.statements import VALUES
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Gradients
from rnnspec.tree import Tree, leaves, named_map, tree_map

KINKS = ("relu", "maximum", "minimum", "where", "remainder")
STEP = {"f64": 2.0**-13, "f32": 2.0**-7, "f16": 2.0**-4, "bf16": 2.0**-3}
"""How far apart the values of a difference are asked for."""
KINKED_STEP = 2.0**-20
"""The same where equations have kinks: two kinks on one such step, whose bends could hide each other, do not happen."""
SMALLER = (2.0**-6, 2.0**-12)
"""Parts of a step at which a difference that does not agree is asked for again."""
SHIFTS = {"f64": (9, -300, 520), "f32": (9, -40, 68), "bf16": (9, -40, 68), "f16": (3, 6)}
"""Powers of two: one so large that its square is infinite where gradients times it are not, one so small that what is
held above a threshold is lost."""


@law(VALUES["P02"], cases=networks.gradients, needs=("lengths", "gradients"), oracle=True)
def gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Of parameters, inputs and initial states; with lengths, under every kind of cotangent for each case."""
    question = ask(backend, case)
    judge.close("pullback", question.pull(), tolerance.pullback(case, PROFILES[backend.precision]))
    for pull in Pull:
        if pull is not case.pull and case.steps == STEPS and case.lengths is not None:
            other = replace(case, pull=pull)
            judge.close(f"pullback of {pull.value}", ask(backend, other).pull(),
                        tolerance.pullback(other, PROFILES[backend.precision]))  # fmt: skip


@law(VALUES["P02-loss"], cases=networks.every_loss, needs=("lengths", "gradients"), oracle=True)
def loss_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a loss call with lengths with the oracle."""
    judge.close(
        "value_and_grad", ask(backend, case).step(), tolerance.value_and_grad(case, PROFILES[backend.precision])
    )


@law(VALUES["P02-plain"], cases=networks.plain, needs=("gradients",), oracle=True)
def plain_loss_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a loss call without lengths with the oracle."""
    judge.close(
        "value_and_grad", ask(backend, case).step(), tolerance.value_and_grad(case, PROFILES[backend.precision])
    )


@law(VALUES["P03"], cases=networks.cells, needs=("lengths", "gradients"))
def linear(backend: Backend, case: Case, judge: Judge) -> None:
    """pull(w1 + w2) = pull(w1) + pull(w2); pull(2^k w) = 2^k pull(w) for large and for small k."""
    both = ask(backend, replace(case, pull=Pull.BOTH, padding=0.0))
    g, whole = both.given, both.pull()
    reference = tolerance.pullback(replace(case, pull=Pull.BOTH, padding=0.0), PROFILES[backend.precision])
    no_states = tree_map(np.zeros_like, g.state_cotangent)
    on_outputs = both.but(state_cotangent=no_states)
    on_states = both.but(output_cotangent=np.zeros_like(g.output_cotangent))
    judge.agree("on outputs plus on states", _sum(on_outputs.pull(), on_states.pull()), whole,
                on_outputs.pull_reference().plus(on_states.pull_reference()))  # fmt: skip
    if reference.doubt:
        return
    for k in SHIFTS[backend.precision]:
        grown = both.but(output_cotangent=_times(g.output_cotangent, k), state_cotangent=_times(g.state_cotangent, k))
        judge.scaled(f"2^{k} times the cotangents", _times(grown.pull(), -k), whole, reference)
    nothing = both.but(output_cotangent=np.zeros_like(g.output_cotangent), state_cotangent=no_states).pull()
    judge.exactly("pullback of zeros", nothing, 0)


@law(VALUES["P04"], cases=networks.cells, needs=("lengths", "gradients"))
def differences(backend: Backend, case: Case, judge: Judge) -> None:
    """<w, F(z + ev) - F(z - ev)> / 2e = <pull(w), v> for drawn directions v, in all arguments and in one alone."""
    question = ask(backend, replace(case, padding=0.0))
    judge.applies(not _has_any(question, ("stop",)), "a stopped gradient is not that of the values")
    judge.applies(not _has_kinks(question) or backend.precision == "f64", "only float64 steps are too short for a kink")
    reference = tolerance.run(replace(case, padding=0.0), PROFILES[backend.precision])
    pulled = question.pull()
    names = [f"params.{name}" for name, _ in leaves(question.given.params)]
    one = [names[case.seed % len(names)]] if names else []
    for what in ("all", "params", "inputs", "state", *one):
        judge_difference(judge, question, reference, pulled, what, case.seed)


@law(VALUES["P20"], cases=networks.losses, needs=("lengths", "gradients"))
def state_beside_loss(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the state of a loss call with the state of a run."""
    question = ask(backend, case)
    judge.agree("the state", question.step().state, question.run().state,
                tolerance.run(case, PROFILES[backend.precision]).at("state"))  # fmt: skip


@law(VALUES["P10"], cases=networks.pulls, needs=("lengths", "gradients"))
def unreached(backend: Backend, case: Case, judge: Judge) -> None:
    """No row has a step; then one row has, and a cotangent on the others alone reaches no parameter."""
    question = ask(backend, case)
    g = question.given
    none = question.but(lengths=np.zeros_like(question.ends)).pull()
    judge.exactly("parameters, where no row has a step", none.params, tree_map(np.zeros_like, g.params))
    judge.exactly("inputs, where no row has a step", none.inputs, np.zeros_like(g.inputs))
    judge.exactly("states, where no row has a step", none.state, g.state_cotangent)
    judge.applies(case.batch > 1, "one row has no others")
    row = int(np.argmax(question.ends))
    w, others = np.array(g.output_cotangent), np.arange(case.batch) != row
    w[..., row, :] = 0
    ws = tree_map(lambda s: of_rows(others, s, s.dtype.type(0)), g.state_cotangent)
    alone = question.but(output_cotangent=w, state_cotangent=ws, lengths=np.where(others, 0, question.ends)).pull()
    judge.exactly("parameters, where the cotangent is on rows without a step", alone.params, 0)
    judge.exactly("inputs, where the cotangent is on rows without a step", alone.inputs, 0)
    judge.exactly("states, where the cotangent is on rows without a step", alone.state, ws)


def judge_difference(
    judge: Judge, question: Question, reference: Reference, pulled: Gradients, what: str, seed: int
) -> None:
    """The pullback gives the difference of the values along a drawn direction, in all arguments or in one of them.

    Where values bend so often that two steps do not show it, a much smaller step decides, if it can tell at all.
    """
    rng = np.random.default_rng([seed, len(what)])
    kept = {name: getattr(question.given, name) for name in ("params", "inputs", "state")}
    drawn = named_map(lambda name, a: rng.normal(size=a.shape) * _chosen(what, name), kept)
    step = KINKED_STEP if _has_kinks(question) else STEP[question.backend.precision]
    first = found = _difference(question, reference, pulled, kept, drawn, step)
    for smaller in SMALLER:
        if not found.holds:
            closer = _difference(question, reference, pulled, kept, drawn, step * smaller)
            found = closer if closer.bound < first.apart / 8 else found
    judge.holds(f"the difference along {what}", found.holds, f"{found.measured:.9g}",
                f"<pullback, direction> = {found.expected:.9g} within {found.bound:.3g}")  # fmt: skip


@dataclass(frozen=True)
class _Difference:
    """The slope that values show along a direction, that of the pullback, and how far they may be apart."""

    measured: float
    expected: float
    bound: float

    @property
    def apart(self) -> float:
        """How far they are apart."""
        return abs(self.measured - self.expected)

    @property
    def holds(self) -> bool:
        """Whether they agree; not where a number is none."""
        return self.apart <= self.bound


def _difference(
    question: Question, reference: Reference, pulled: Gradients, kept: dict[str, Tree], drawn: Tree, step: float
) -> _Difference:
    near, far = _slopes(question, kept, drawn, step), _slopes(question, kept, drawn, 2 * step)
    expected = _product(pulled, near.direction)
    noise = sum(float((tau * weight).sum()) for tau, weight in _weighted(question, reference)) / step
    curved = abs(far.measured - near.measured - (_product(pulled, far.direction) - expected))
    rounding = (
        float(np.abs(flat(_of(pulled)) * flat(near.direction)).sum()) * 64 * PROFILES[question.backend.precision].unit
    )
    bound = 7 * noise + 2 * curved + rounding + (near.bent if _has_kinks(question) else 0.0)
    return _Difference(near.measured, expected, bound)


def _chosen(what: str, name: str) -> float:
    return float(what == "all" or f"{name}.".startswith(f"{what}."))


class _slopes:  # noqa: N801  # reads as the function that it is
    """Differences of the values along a direction: `measured` over both sides, `bent` between them.

    Bends are taken element by element: of two kinks, on one side each, the sum may hide both.
    """

    def __init__(self, question: Question, kept: dict[str, Tree], drawn: Tree, step: float) -> None:
        sides = [tree_map(lambda a, v, s=sign: (a + s * step * v).astype(a.dtype), kept, drawn) for sign in (1, -1)]
        high, middle, low = (self._value(question, side) for side in (sides[0], kept, sides[1]))
        self.direction = tree_map(lambda a, b: (a.astype(float) - b.astype(float)) / (2 * step), *sides)
        self.measured = float((high - low).sum()) / (2 * step)
        self.bent = float(np.abs((high - middle) - (middle - low)).sum()) / step

    @staticmethod
    def _value(question: Question, side: dict[str, Tree]) -> Any:
        answer, g = question.but(**side).run(), question.given
        return flat([answer.outputs, answer.state]) * flat([g.output_cotangent, g.state_cotangent])


def _weighted(question: Question, reference: Reference) -> list[tuple[Any, Any]]:
    tau, g = reference.own().tau(), question.given
    weights = {"outputs": g.output_cotangent} | {f"state.{name}": w for name, w in leaves(g.state_cotangent)}
    return [(tau[name], np.abs(weight.astype(float))) for name, weight in weights.items()]


def _product(gradients: Gradients, direction: Tree) -> float:
    return float(flat(_of(gradients)) @ flat(direction))


def _of(gradients: Gradients) -> Tree:
    return {"params": gradients.params, "inputs": gradients.inputs, "state": gradients.state}


def _has_kinks(question: Question) -> bool:
    return _has_any(question, KINKS)


def _has_any(question: Question, ops: tuple[str, ...]) -> bool:
    return any(node.op in ops for layer in question.net.layers for node in layer.cell.graph.nodes)


def _sum(one: Gradients, other: Gradients) -> Gradients:
    def add(a: Tree, b: Tree) -> Tree:
        return tree_map(lambda x, y: x + y, a, b)

    return Gradients(add(one.params, other.params), add(one.inputs, other.inputs), add(one.state, other.state))


def _times(tree: Any, k: int) -> Any:
    if isinstance(tree, Gradients):
        return Gradients(_times(tree.params, k), _times(tree.inputs, k), _times(tree.state, k))
    return tree_map(lambda a: np.ldexp(a, k).astype(a.dtype), tree)
