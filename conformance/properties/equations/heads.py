"""Heads and matrix states, by what they are: heads are layers beside one another, a matrix is its columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import BATCH, INPUTS, STEPS, Case, cases
from conformance.judge import Judge
from conformance.properties.asking import Question, ask, is_eager
from conformance.properties.equations.columns import COLUMNS, attending, from_columns, to_columns
from conformance.properties.equations.columns import columns as written_out
from conformance.properties.networks import Labels
from conformance.registry import Scope, law
from conformance.statements import EQUATIONS
from rnnspec import Backend, Gradients, Layer, Network, Result, cell, cells, out
from rnnspec.losses import SquaredError
from rnnspec.primitives import outer, sigmoid, tanh
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tree import Tree, tree_map

__all__ = ["mixed"]

PLACE = {"W": "x.", "b": "x.", "U": "R.", "p": "p."}
"""What stands before a map's name in the name of what heads share."""


@cell
def mixed(x, R, p, h, S):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: every kind of parameter, a vector and a matrix state, and `x` itself."""
    h = tanh(x.h + R.h(h) + p.d * (S @ R.q(x)))
    S = sigmoid(p.A) * S + outer(h, tanh(R.k(x)))
    return out(h * sigmoid(R.o(x)) + R.s(h @ S) + R.h.T(h)), h, S


SPLIT = Network(2 * INPUTS, [Layer(mixed, {"h": 4, "S.columns": 2}, heads=2, shared=("R.k", "p.A", "p.d"))],
                loss=SquaredError())  # fmt: skip
"""The features of `x` are those of one head after those of the other."""
HEADS = {
    "heads with maps": Network(INPUTS, [Layer(cells.gru, 4, heads=2, shared=("x.z", "R.n", "p.n"))]),
    "heads with matrices": Network(INPUTS, [Layer(attending, {"S.rows": 2, "S.columns": COLUMNS}, heads=3,
                                                  shared=("x.k", "p.A"))]),
    "heads that split x": Network(SPLIT.inputs, SPLIT.layers),
    "heads that share x": Network(INPUTS, [Layer(mixed, {"h": 4, "S.columns": 2}, heads=2, shared=("x", "x.h"))]),
    "one head": Network(INPUTS, [Layer(cells.lstm, 4, heads=1)]),
}  # fmt: skip


def _headed(scope: Scope) -> Labels:
    """Networks of each kind; one program with every kind, which the first precision affords."""
    if scope.shapes or scope.closed:
        return {}
    if scope.eager:
        return {label: cases([net]).map(_with_lengths) for label, net in HEADS.items()}
    affordable = scope.wide or not (scope.brief or scope.share[0])
    return {"heads": cases([SPLIT]).map(_with_lengths)} if affordable else {}


def _matrix(scope: Scope) -> Labels:
    """One layer; in the deep tier alone where it costs programs."""
    if scope.shapes or scope.closed or not (scope.eager or scope.wide):
        return {}
    net = Network(INPUTS, [Layer(attending, {"S.rows": 3, "S.columns": COLUMNS})])
    return {"columns": cases([net]).map(_with_lengths)}


def _with_lengths(case: Case) -> Case:
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH)


@law(EQUATIONS["P140"], cases=_headed, needs=("lengths", "heads"), also=("gradients",))
def heads(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares values and gradients with those of each head alone; where each network costs a program, with the
    oracle, which computes each head alone.
    """
    whole = _blocks(ask(backend, case))
    if not is_eager(backend):
        judge.applies(judge.gradients, "its one program has gradients")
        judge.close("value_and_grad", whole.step(), whole.step_reference())
        return
    parts = [_alone(whole, head) for head in range(_layer(whole).heads or 1)]
    judge.agree("run", _beside([part.run() for part in parts]), whole.run(), whole.run_reference())
    if judge.gradients:
        pulled = whole.pull()
        joined = _joined(whole, [part.pull() for part in parts], pulled)
        judge.agree("pullback", joined, pulled, whole.pull_reference())


@law(EQUATIONS["P141"], cases=_matrix, needs=("lengths", "matrices"), also=("gradients",))
def matrix(backend: Backend, case: Case, judge: Judge) -> None:
    """Linear attention with the delta rule, and the same with each column written out as a vector."""
    whole = ask(backend, case)
    g = whole.given
    net = Network(whole.net.inputs, [Layer(written_out, _layer(whole).state_shapes["S"][0])])
    apart = Question(backend, net, replace(
        g, params=to_columns(g.params), state=_states(g.state), state_cotangent=_states(g.state_cotangent),
    ))  # fmt: skip
    found = apart.run()
    judge.agree("run", replace(found, state=_matrices(found.state)), whole.run(), whole.run_reference())
    if judge.gradients:
        back = apart.pull()
        joined = Gradients(from_columns(back.params), back.inputs, _matrices(back.state))
        judge.agree("pullback", joined, whole.pull(), whole.pull_reference())


def _states(state: Tree) -> Tree:
    """Each column of a matrix state as a vector state."""
    matrix = state[0]["forward"]["S"]
    return [{"forward": {name: matrix[..., j] for j, name in enumerate(written_out.states)}}]


def _matrices(state: Tree) -> Tree:
    vectors = state[0]["forward"]
    return [{"forward": {"S": np.stack([vectors[name] for name in written_out.states], -1)}}]


def _layer(question: Question) -> Layer:
    return question.net.layers[0]


def _splits(question: Question) -> bool:
    """Whether the heads have parts of `x` itself."""
    layer = _layer(question)
    return layer.cell.reads_input and "x" not in layer.shared


def _blocks(question: Question) -> Question:
    """Where heads split `x`, input maps of a head alone can read its own features only: the others' columns are 0."""
    if not _splits(question):
        return question
    params = tree_map(np.array, question.given.params)
    for w in params["layers"][0]["forward"]["W"].values():
        w[~_own(question, w)] = 0
    return question.but(params=params)


def _own(question: Question, w: Any) -> Any:
    """True where a row of an input map reads a feature of its own head."""
    count = _layer(question).heads or 1
    return np.kron(np.eye(count), np.ones((w.shape[0] // count, w.shape[1] // count))) > 0


def _alone(question: Question, head: int) -> Question:
    """The question of one head as a layer without heads."""
    layer, g, count = _layer(question), question.given, _layer(question).heads or 1

    def part(kind: str, name: str, w: Any) -> Any:
        label = PLACE[kind] + name
        own = w if label in layer.shared else w[head] if _has_axis(layer, kind, label) else np.split(w, count)[head]
        return np.split(own, count, 1)[head] if kind == "W" and _splits(question) else own

    def features(a: Any) -> Any:
        return np.split(a, count, -1)[head]

    params = {kind: {name: part(kind, name, w) for name, w in named.items()}
              for kind, named in g.params["layers"][0]["forward"].items()}  # fmt: skip
    x = features(g.inputs) if _splits(question) else g.inputs
    net = Network(x.shape[-1], [Layer(replace(layer.cell, heads=None, shared=()), layer.hidden)])
    return Question(question.backend, net, replace(
        g, params={"layers": [{"forward": params}]}, inputs=x, output_cotangent=features(g.output_cotangent),
        state=tree_map(lambda s: s[:, head], g.state), targets=None,
        state_cotangent=tree_map(lambda s: s[:, head], g.state_cotangent),
    ))  # fmt: skip


def _has_axis(layer: Layer, kind: str, label: str) -> bool:
    return kind == "U" or (kind == "p" and layer.cell.ranks[label] == MATRIX)


def _beside(parts: list[Result]) -> Result:
    outputs = np.concatenate([part.outputs for part in parts], -1)
    return replace(parts[0], outputs=outputs, state=tree_map(_stacked, *(part.state for part in parts)))


def _stacked(*states: Any) -> Any:
    return np.stack(states, 1)


def _joined(question: Question, parts: list[Gradients], whole: Gradients) -> Gradients:
    """The gradients of all heads in the places of the layer with heads; those of what they share are added up."""
    layer = _layer(question)

    def gradient(kind: str, name: str, like: Any) -> Any:
        own = [part.params["layers"][0]["forward"][kind][name] for part in parts]
        label = PLACE[kind] + name
        if label in layer.shared:
            return np.sum(own, 0, dtype=like.dtype)
        if kind == "W" and _splits(question):
            return _along_the_diagonal(own, like, _own(question, like))
        return np.stack(own) if _has_axis(layer, kind, label) else np.concatenate(own)

    params = {kind: {name: gradient(kind, name, like) for name, like in named.items()}
              for kind, named in whole.params["layers"][0]["forward"].items()}  # fmt: skip
    inputs = [part.inputs for part in parts]
    x = np.concatenate(inputs, -1) if _splits(question) else np.sum(inputs, 0, dtype=inputs[0].dtype)
    return Gradients({"layers": [{"forward": params}]}, x, tree_map(_stacked, *(part.state for part in parts)))


def _along_the_diagonal(own: list[Any], like: Any, there: Any) -> Any:
    """The heads' gradients in their blocks, and what `like` has in others, which no head alone has."""
    found = np.array(like)
    found[there] = np.stack(own).ravel()
    return found
