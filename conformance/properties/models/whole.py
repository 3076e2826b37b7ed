"""Whole models: their values and gradients, single steps, residual layers, and heads on what `Last()` reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question, ask, few
from conformance.properties.models import networks
from conformance.registry import law
from conformance.statements import MODELS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Gradients, Network, Steps
from rnnspec.tree import Tree, tree_map

FOREIGN = (np.nan, np.inf)


@law(MODELS["P180"], cases=networks.whole, needs=("lengths",), oracle=True, once=True)
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares outputs and final states with the oracle, and where more calls cost nothing the loss."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(MODELS["P181"], cases=networks.whole, needs=("lengths", "gradients"), oracle=True, once=True)
def gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the gradients of parameters, inputs and initial states with the oracle."""
    judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))


@law(MODELS["P182"], cases=networks.single, also=("gradients",))
def single_steps(backend: Backend, case: Case, judge: Judge) -> None:
    """Turns the steps around, makes all rows but one NaN or infinite, and splits gradients in time."""
    question = ask(backend, case)
    g, result, reference = question.given, question.run(), question.run_reference()
    order = np.random.default_rng(case.seed).permutation(case.steps)
    turned = question.but(inputs=g.inputs[order]).run()
    judge.agree("run of the steps in another order", replace(turned, outputs=turned.outputs[np.argsort(order)]), result,
                reference)  # fmt: skip
    row = case.seed % case.batch
    broken = np.array(g.inputs)
    broken[:, np.arange(case.batch) != row] = FOREIGN[case.seed % len(FOREIGN)]
    found = np.array(result.outputs)
    found[:, row] = question.but(inputs=broken).run().outputs[:, row]
    judge.agree("run of a row beside others that are not finite", replace(result, outputs=found), result, reference)
    if judge.gradients:
        cut, every = case.steps // 2, slice(None)
        parts = [few(question, (part, every)).pull() for part in (slice(0, cut), slice(cut, None))]
        judge.agree("the sum of the gradients of two parts", _joined(parts), question.pull(), question.pull_reference())


@law(MODELS["P183"], cases=networks.residuals, needs=("lengths",), also=("gradients", "bidirectional"))
def residual(backend: Backend, case: Case, judge: Judge) -> None:
    """Runs the residual layer by itself, and adds what it is given; at padded steps that is nothing."""
    question = _upper(ask(backend, case))
    net = question.net
    plain = replace(question, net=replace(net, layers=[replace(net.layers[0], residual=False)]))
    real = (np.arange(case.steps)[:, None] < question.ends)[..., None]
    result, alone = question.run(), plain.run()
    judge.holds("outputs at padded steps", not result.outputs[~real[..., 0]].any(), "other numbers", "zeros")
    added = np.where(real, question.given.inputs + alone.outputs, result.outputs.dtype.type(0))
    judge.agree("run", result, replace(alone, outputs=added), question.run_reference())
    if judge.gradients:
        found, own = question.pull(), plain.pull()
        through = np.where(real, question.given.output_cotangent, own.inputs.dtype.type(0))
        judge.agree("pullback", found, replace(own, inputs=own.inputs + through), question.pull_reference())


@law(MODELS["P184"], cases=networks.heads, needs=("lengths",), also=("gradients", "bidirectional"))
def head_of_the_last_step(backend: Backend, case: Case, judge: Judge) -> None:
    """Runs what is read without the head, and the head on it; rows without a step are zeros and learn nothing."""
    question = ask(backend, case)
    net, g = question.net, question.given
    here = question.ends > 0
    result = question.run()
    judge.exactly("outputs of rows of length 0", {"outputs": result.outputs[~here]}, 0.0)
    below = replace(question, net=Network(net.inputs, net.layers, net.read),
                    given=replace(g, params={"layers": g.params["layers"]}))  # fmt: skip
    own = {name: g.params[name] for name in ("output",) if name in g.params}
    above = replace(question, net=Network(below.net.width, net.head, Steps(), net.output), given=replace(
        g, params={"layers": g.params["head"], **own}, inputs=below.run().outputs[None], state=None, lengths=None,
        resets=None, output_cotangent=np.where(here[:, None], g.output_cotangent, 0)[None].astype(g.inputs.dtype),
        state_cotangent=None))  # fmt: skip
    outputs = np.where(here[:, None], above.run().outputs[0], result.outputs.dtype.type(0))
    judge.agree("run", replace(result, outputs=outputs), result, question.run_reference())
    if not judge.gradients:
        return
    pulled, reference = above.pull(), question.pull_reference()
    lower = below.but(output_cotangent=np.where(here[:, None], pulled.inputs[0], 0).astype(g.inputs.dtype)).pull()
    params = {"layers": lower.params["layers"], "head": pulled.params["layers"],
              **{name: pulled.params[name] for name in own}}  # fmt: skip
    judge.agree("pullback", replace(lower, params=params), question.pull(), reference)


def _upper(question: Question) -> Question:
    """The question of the upper layer alone, on what the lower one gives."""
    net, g = question.net, question.given
    lower = replace(question, net=Network(net.inputs, net.layers[:1]), given=replace(
        g, params={"layers": g.params["layers"][:1]}, state=g.state[:1], state_cotangent=g.state_cotangent[:1],
        resets=None))  # fmt: skip
    return replace(question, net=Network(net.layers[0].width, net.layers[1:]), given=replace(
        g, params={"layers": g.params["layers"][1:]}, inputs=_padded(lower.run().outputs, question), state=g.state[1:],
        state_cotangent=g.state_cotangent[1:], resets=None))  # fmt: skip


def _padded(outputs: Any, question: Question) -> Any:
    """Values with the padding of the case at padded steps, which no layer may read."""
    real = (np.arange(question.steps)[:, None] < question.ends)[..., None]
    return np.where(real, outputs, outputs.dtype.type(np.nan))


def _joined(parts: list[Gradients]) -> Gradients:
    """The gradients of the parts of a sequence: those of parameters added up, those of inputs one after the other."""
    def added(one: Any, other: Any) -> Any:
        return one + other

    params: Tree = tree_map(added, parts[0].params, parts[1].params)
    return Gradients(params, np.concatenate([part.inputs for part in parts]), parts[0].state)
