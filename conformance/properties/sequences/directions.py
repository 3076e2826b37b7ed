"""Directions and the stack: what the reverse half, both halves and several layers are in terms of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.statements import LAYERS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Layer, Network
from rnnspec.losses import SquaredError
from rnnspec.tree import Tree

HALVES = ("forward", "reverse")


@law(LAYERS["P21"], cases=networks.bidirectional, needs=("lengths", "bidirectional"))
def reverse(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the bidirectional network's reverse half with a forward layer."""
    question = ask(backend, case)
    whole, reference = question.run(), tolerance.run(case, PROFILES[backend.precision])
    alone, width = _alone(question, "reverse").run(), _width(question)
    judge.agree("outputs of the reverse half", turned(alone.outputs, question.ends), whole.outputs[..., width:],
                _features(reference.at("outputs"), width, None))  # fmt: skip
    judge.agree("states of the reverse half", alone.state[0]["forward"], whole.state[0]["reverse"],
                reference.at("state.0.reverse"))  # fmt: skip


@law(LAYERS["P22"], cases=networks.bidirectional, needs=("lengths", "gradients", "bidirectional", "policies"))
def halves(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares values of complete rows, and gradients of rows that end before the policy cuts."""
    question = ask(backend, replace(case, padding=0.0))
    whole, reference = question.run(), tolerance.run(replace(case, padding=0.0), PROFILES[backend.precision])
    alone, width = _alone(question, "forward").run(), _width(question)
    judge.agree("outputs of the forward half", alone.outputs, whole.outputs[..., :width],
                _features(reference.at("outputs"), 0, width))  # fmt: skip
    judge.agree("states of the forward half", alone.state[0]["forward"], whole.state[0]["forward"],
                reference.at("state.0.forward"))  # fmt: skip
    short = _uncut(question)
    both, parts = short.pull(), {half: _alone(short, half).pull() for half in HALVES}
    x = parts["forward"].inputs + turned(parts["reverse"].inputs, short.ends)
    found = {"params": {"layers": [{half: parts[half].params["layers"][0]["forward"] for half in HALVES}]},
             "inputs": x, "state": [{half: parts[half].state[0]["forward"] for half in HALVES}]}  # fmt: skip
    judge.agree("gradients of the halves", found, both, short.pull_reference())


@law(LAYERS["P23"], cases=networks.bidirectional, needs=("lengths", "bidirectional"), also=("gradients",))
def mirrored(backend: Backend, case: Case, judge: Judge) -> None:
    """Values and gradients, the policy's included: it counts in processing order."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    g, ends = question.given, question.ends
    other = question.but(
        params=_exchanged(g.params), inputs=turned(g.inputs, ends), state=_exchanged(g.state),
        output_cotangent=_rolled(turned(g.output_cotangent, ends)), state_cotangent=_exchanged(g.state_cotangent),
    )  # fmt: skip
    answer = other.run()
    judge.agree("run", {"outputs": _rolled(turned(answer.outputs, ends)), "state": _exchanged(answer.state)},
                question.run(), tolerance.run(case, profile))  # fmt: skip
    if not judge.gradients:
        return
    pulled = other.pull()
    judge.agree("pullback", {"params": _exchanged(pulled.params), "inputs": turned(pulled.inputs, ends),
                             "state": _exchanged(pulled.state)},
                question.pull(), tolerance.pullback(case, profile))  # fmt: skip


@law(LAYERS["P24"], cases=networks.stacked, needs=("lengths",))
def stack(backend: Backend, case: Case, judge: Judge) -> None:
    """The layers alone, the reverse one as a forward layer on turned rows; the output layer in NumPy."""
    question = ask(backend, case)
    g, ends, whole = question.given, question.ends, question.run()
    state: list[Tree] = []
    values = g.inputs
    for i, layer in enumerate(case.net.layers):
        part = _layer(question, i, values)
        answer = _alone(part, "reverse").run() if layer.direction == "reverse" else part.run()
        values = turned(answer.outputs, ends) if layer.direction == "reverse" else answer.outputs
        state.append({layer.halves[0]: answer.state[0]["forward"]} if len(layer.halves) == 1 else answer.state[0])
    dense = g.params["output"]
    real = (np.arange(case.steps)[:, None] < ends)[..., None]
    outputs = np.where(real, values @ dense["W"].T + dense["b"], values.dtype.type(0))
    judge.agree("layer by layer", {"outputs": outputs, "state": state}, whole,
                tolerance.run(case, PROFILES[backend.precision]))  # fmt: skip


@law(LAYERS["P24-last"], cases=networks.read_last, needs=("lengths",))
def last(backend: Backend, case: Case, judge: Judge) -> None:
    """What is read of a half whose output is a state is that final state; rows that end together are alike."""
    question = ask(backend, case)
    whole, reference = question.run(), tolerance.run(case, PROFILES[backend.precision])
    empty = question.ends == 0
    judge.exactly("outputs of rows without a step", whole.outputs[empty], 0)
    top = case.net.layers[-1]
    if top.cell.output_state is not None:
        read = np.concatenate([whole.state[-1][half][top.cell.output_state] for half in top.halves], -1)
        if case.net.output is not None:
            read = read @ question.given.params["output"]["W"].T + question.given.params["output"]["b"]
        judge.agree("the final states, through an output layer", np.where(empty[:, None], read.dtype.type(0), read),
                    whole.outputs, reference.at("outputs"))  # fmt: skip
    for length in sorted(set(question.ends) - {0}):
        rows = question.ends == length
        same = question.but(lengths=np.full_like(question.ends, length)).run()
        judge.agree(f"rows of length {length}", same.outputs[rows], whole.outputs[rows],
                    _rows(reference.at("outputs"), rows))  # fmt: skip


def turned(values: Any, ends: Any) -> Any:
    """`(time, batch, ...)` with each row's real steps in the opposite order."""
    found = np.array(values)
    for row, end in enumerate(ends):
        found[:end, row] = values[:end, row][::-1]
    return found


def _alone(question: Question, half: str) -> Question:
    """One half of a layer as a forward layer without a policy; the reverse one sees its rows turned around."""
    g, layer = question.given, question.net.layers[0]
    net = Network(question.net.inputs, [Layer(layer.cell, layer.hidden, "forward")], loss=SquaredError())
    is_reverse, ends = half == "reverse", question.ends
    width = layer.half_width
    low = width if is_reverse and len(layer.halves) == 2 else 0
    w = g.output_cotangent[..., low : low + width]
    return Question(question.backend, net, replace(
        g, params={"layers": [{"forward": g.params["layers"][0][half]}]},
        inputs=turned(g.inputs, ends) if is_reverse else g.inputs,
        output_cotangent=turned(w, ends) if is_reverse else w,
        state=[{"forward": g.state[0][half]}], state_cotangent=[{"forward": g.state_cotangent[0][half]}],
    ))  # fmt: skip


def _layer(question: Question, index: int, values: Any) -> Question:
    g, layer = question.given, question.net.layers[index]
    return Question(question.backend, Network(question.net.layer_inputs(index), [layer]), replace(
        g, params={"layers": [g.params["layers"][index]]}, inputs=values, state=[g.state[index]],
        state_cotangent=[g.state_cotangent[index]], output_cotangent=np.zeros((*values.shape[:2], layer.width)),
    ))  # fmt: skip


def _width(question: Question) -> int:
    return question.net.layers[0].half_width


def _uncut(question: Question) -> Question:
    """Rows that end before the policy cuts."""
    return question.but(lengths=np.minimum(question.ends, networks.CUT))


def _exchanged(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {**tree, "layers": _exchanged(tree["layers"])}
    return [{"forward": layer["reverse"], "reverse": layer["forward"]} for layer in tree]


def _rolled(values: Any) -> Any:
    return np.roll(values, values.shape[-1] // 2, -1)


def _features(outputs: tolerance.Reference, low: int | None, high: int | None) -> tolerance.Reference:
    return replace(outputs, leaves={"": outputs.leaves[""][..., low:high]},
                   again=lambda runs: _features(outputs.again(runs), low, high))  # fmt: skip


def _rows(outputs: tolerance.Reference, rows: Any) -> tolerance.Reference:
    return replace(
        outputs, leaves={"": outputs.leaves[""][:, rows]}, again=lambda runs: _rows(outputs.again(runs), rows)
    )
