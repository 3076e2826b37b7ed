"""Gradient control unit by unit, gradients that are not finite, and the scale of the loss.

One rule serves: a part of the parameters is clipped by units and skipped where its gradient is not finite, the other
has such entries set to 0. A rule is a program more where programs are compiled; these are judged where none is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask, is_eager
from conformance.properties.learning.parted import Part, Parted
from conformance.properties.learning.training import Sized, mean_of, train, train_reference
from conformance.registry import law
from conformance.statements import CLIPPING
from rnnspec import Backend, chain
from rnnspec.policies import ClipByNorm, ClipByUnitNorm, ScaleLoss, SkipNonFinite, ZeroNonFinite
from rnnspec.tree import Tree, tree_map
from rnnspec.updates import SGD

RATIO, EPSILON, MOMENTUM, RATE = 0.0625, 0.5, 0.875, 0.125
UNITS = Part(("forward.U.", "forward.b.", "reverse.W.", "output.W"),
             SkipNonFinite(chain(ClipByUnitNorm(RATIO, EPSILON), SGD(RATE, MOMENTUM))))  # fmt: skip
ZEROED = Part(("forward.W.", "reverse.U.", "reverse.b.", ".p.", "output.b"),
              chain(ZeroNonFinite(), SGD(RATE, MOMENTUM)))  # fmt: skip
GUARDED = Parted((UNITS, ZEROED))
VELOCITY = {UNITS: "0.rule_state.0.rule.1.velocity", ZEROED: "0.rule_state.1.1.velocity"}
CLIPPED = chain(ClipByNorm(0.5), SGD(RATE, MOMENTUM))
SCALE = 1024.0
MORE = "each further rule costs this backend a compiled program"


@law(CLIPPING["P80"], cases=networks.trained, needs=("gradients",))
def units(backend: Backend, case: Case, judge: Judge) -> None:
    """Rows of maps and elements of biases, on both sides of their limits; the direction stays."""
    judge.applies(is_eager(backend), MORE)
    for size in (0.25, 4.0, 100.0):
        sized = Sized(ask(backend, case), size)
        done, mean, weights = sized.trained(GUARDED), UNITS.of(sized.mean), UNITS.of(sized.question.given.params)
        wanted = {name: _held(mean[name], weights[name]) for name in mean}
        velocity = done.rule_state[0]["rule"][1]["velocity"]
        judge.agree(f"the velocity at the size {size}", velocity, wanted, sized.reference(GUARDED).at(VELOCITY[UNITS]))


@law(CLIPPING["P81"], cases=networks.trained, needs=("gradients",))
def skipped(backend: Backend, case: Case, judge: Judge) -> None:
    """After a finite step, so that there is a state to be lost; and the finite step after it goes on from there."""
    judge.applies(is_eager(backend), MORE)
    question = ask(backend, case)
    first = train(question, GUARDED)
    moved = question.but(params=first.params)
    judge.exactly("steps skipped before", first.rule_state[0]["skipped"], 0.0)
    for value in (np.nan, np.inf):
        y = np.array(moved.given.targets)
        y[0, 0, 0] = value
        done = train(moved.but(targets=y), GUARDED, first.rule_state)
        judge.exactly(f"parameters, a target {value}", UNITS.of(done.params), UNITS.of(first.params))
        judge.exactly("the rule's state", done.rule_state[0]["rule"], first.rule_state[0]["rule"])
        judge.exactly("steps skipped", done.rule_state[0]["skipped"], 1.0)
    changed = {name: bool((w == UNITS.of(question.given.params)[name]).all()) for name, w in
               UNITS.of(first.params).items()}  # fmt: skip
    judge.holds("maps that a finite step leaves as they are", not all(changed.values()), changed, "not all")


@law(CLIPPING["P82"], cases=networks.trained, needs=("gradients",))
def zeroed(backend: Backend, case: Case, judge: Judge) -> None:
    """An infinite target of one feature: the output layer's bias is not finite in that feature alone."""
    judge.applies(is_eager(backend), MORE)
    question = ask(backend, case)
    for value in (np.nan, np.inf, -np.inf):
        y = np.array(question.given.targets)
        y[0, 0, 0] = value
        broken = question.but(targets=y)
        mean, done = ZEROED.of(mean_of(broken)), train(broken, GUARDED)
        velocity = done.rule_state[1][1]["velocity"]
        wanted = tree_map(lambda g: np.where(np.isfinite(g), g, g.dtype.type(0)), mean)
        spoilt = int(np.isfinite(mean["output.b"]).sum())
        judge.holds("finite entries of the case", spoilt == case.net.features - 1, spoilt, case.net.features - 1)
        judge.equal(f"the velocity, a target {value}", velocity, wanted,
                    train_reference(question, GUARDED).at(VELOCITY[ZEROED]))  # fmt: skip


@law(CLIPPING["P83"], cases=networks.trained, needs=("gradients",))
def scaled_loss(backend: Backend, case: Case, judge: Judge) -> None:
    """The scale stays; one that follows the gradient is halved where it overflows, and doubled after a while."""
    judge.applies(is_eager(backend), MORE)
    question = ask(backend, case)
    plain, scaled = train(question, CLIPPED), train(question, ScaleLoss(CLIPPED, SCALE))
    for name, one, other in (("parameters", plain.params, scaled.params),
                             ("velocity", plain.rule_state, scaled.rule_state["rule"]),
                             ("loss", plain.loss_sum, scaled.loss_sum)):  # fmt: skip
        judge.exactly(f"the {name} under a scaled loss", other, one)
    judge.exactly("the scale", scaled.rule_state["scale"], SCALE)
    following, y = ScaleLoss(CLIPPED, SCALE, interval=1), np.array(question.given.targets)
    judge.exactly("the scale after a finite step", train(question, following).rule_state["scale"], 2 * SCALE)
    y[0, 0] = np.inf
    done = train(question.but(targets=y), following)
    judge.exactly("the scale after another", done.rule_state["scale"], SCALE / 2)
    judge.exactly("parameters after it", done.params, question.given.params)


def _held(g: Any, w: Any) -> Any:
    """A gradient, each unit within its limit."""
    norm, size = _unit_norm(g.astype(float)), _unit_norm(w.astype(float))
    limit = RATIO * np.maximum(size, EPSILON)
    return (g * (limit / np.maximum(norm, limit))).astype(g.dtype)


def _unit_norm(a: Tree) -> Any:
    return np.linalg.norm(a, axis=-1, keepdims=True) if a.ndim > 1 else np.abs(a)
