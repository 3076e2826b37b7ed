"""Calls with a key: values, gradients, parts, shares, and calls without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case, window
from conformance.judge import Judge
from conformance.properties.asking import Question, ask
from conformance.properties.noise import noisy
from conformance.registry import law
from conformance.statements import NOISE
from conformance.tolerance import Reference
from rnnspec import Backend, Gradients, Key, Network, Result
from rnnspec.noise import Dropout
from rnnspec.tree import named_map, tree_map

SIGMAS = 6
"""Chance goes as far once in five hundred million times."""


@law(NOISE["P190"], cases=noisy.everything, needs=("lengths", "noise"), oracle=True)
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run with the oracle's, with a key whose rows and steps begin anywhere."""
    question = _keyed(backend, case, judge)
    judge.close("run", question.run(), question.run_reference())


@law(NOISE["P191"], cases=noisy.everything, needs=("lengths", "noise", "gradients"), oracle=True)
def gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a pullback with the oracle's; and a loss, whose labels must be those of the case."""
    question = _keyed(backend, case, judge)
    judge.close("pullback", question.pull(), question.pull_reference())
    if not hasattr(backend, "programs_compiled"):
        judge.close("value_and_grad", question.step(), question.step_reference())


@law(NOISE["P192"], cases=noisy.forward, needs=("lengths", "noise"))
def parts(backend: Backend, case: Case, judge: Judge) -> None:
    """Moves some rows to the front, and then some steps, at the shapes of the whole."""
    question = _keyed(backend, case, judge)
    whole, reference = question.run(), question.run_reference()
    judge.applies(case.batch > 1 and case.steps > 1, "one row or one step cannot be parted")
    row, step = 1 + case.seed % (case.batch - 1), 1 + case.seed % (case.steps - 1)
    later, front = _from_row(question, row).run(), slice(0, case.batch - row)
    joined = tree_map(lambda a, b: np.concatenate([a[:row], b[front]]), _by_row(whole), _by_row(later))
    judge.agree("the last rows by themselves", joined, _by_row(whole), _turned(reference))
    begun = _window(question, 0, step).run()
    ended = _window(question, step, case.steps).but(state=begun.state).run()
    outputs = np.concatenate([begun.outputs[:step], ended.outputs[: case.steps - step]])
    judge.agree("windows", {"outputs": outputs, "state": ended.state},
                {"outputs": whole.outputs, "state": whole.state}, reference)  # fmt: skip


@law(NOISE["P193"], cases=noisy.everything, needs=("lengths",), also=("gradients",), oracle=True)
def evaluation(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares calls without a key with the oracle's of the network that declares no noise."""
    question = ask(backend, case)
    plain = _without_noise(question)
    found = question.run()
    judge.close("run", replace(found, state=_of(question.net, found.state)), plain.run_reference())
    if judge.gradients and not hasattr(backend, "programs_compiled"):
        pulled = question.pull()
        own = {**pulled.params, "layers": _of(question.net, pulled.params["layers"])}
        judge.close("pullback", Gradients(own, pulled.inputs, _of(question.net, pulled.state)), plain.pull_reference())


@law(NOISE["P194"], cases=noisy.shares, needs=("noise",))
def shares(backend: Backend, case: Case, judge: Judge) -> None:
    """Sees the mask of the inputs through the identity, and counts."""
    question, net = _through(ask(backend, case)), case.net
    (rate,) = (one.rate for one in net.layers[0].noises if isinstance(one, Dropout))
    one, other = (replace(question, key=Key(case.seed + more)).run().outputs for more in (0, 1))
    judge.holds("the masks of two seeds", bool((one != other).any()), "equal", "others")
    share, bound = float((one == 0).mean()), SIGMAS * math.sqrt(rate * (1 - rate) / max(one.size, 1))
    judge.holds("the share of what is dropped", abs(share - rate) <= bound, share, f"{rate} within {bound:.3f}")
    mean, around = float(np.asarray(one, np.float64).mean()), bound / (1 - rate)
    judge.holds("the mean of ones", abs(mean - 1) <= around + 1 / 64, mean, f"1 within {around:.3f}")


def _keyed(backend: Backend, case: Case, judge: Judge) -> Question:
    """The question of a case with a key."""
    lacks = [backend.capabilities.lacked(layer.masked.cell) for layer in case.net.layers if layer.masked]
    judge.applies(not any(lacks), f"masks in the equations need {''.join(lacks[:1])}")
    return replace(ask(backend, case), key=Key(case.seed, row=case.seed % 1009, step=case.seed % 77))


def _from_row(question: Question, row: int) -> Question:
    """The rows from one on, and after them the others, with the key of that row."""
    g, ends = question.given, question.ends
    states = {name: tree_map(lambda s: np.roll(s, -row, 0), getattr(g, name)) for name in ("state", "state_cotangent")}
    moved = question.but(inputs=np.roll(g.inputs, -row, 1), lengths=np.roll(ends, -row), **states)
    assert question.key is not None
    return replace(moved, key=question.key.at(row=row))


def _window(question: Question, start: int, stop: int) -> Question:
    """Some steps, with the key of the first."""
    inputs, ends = window(question.given.inputs, question.given.lengths, start, stop)
    assert question.key is not None
    return replace(question.but(inputs=inputs, lengths=ends), key=question.key.at(step=start))


def _by_row(answer: Result) -> dict[str, Any]:
    """Outputs and states, with rows first."""
    return {"outputs": np.swapaxes(answer.outputs, 0, 1), "state": answer.state}


def _turned(reference: Reference) -> Reference:
    """The reference of what has rows first."""
    leaves = {name: np.swapaxes(a, 1, 2) if name == "outputs" else a for name, a in reference.leaves.items()}
    return replace(reference, leaves=leaves, again=lambda runs: _turned(reference.again(runs)))


def _without_noise(question: Question) -> Question:
    """The question of the network that declares no noise."""
    net, g = question.net, question.given
    layers = [replace(layer, cell=layer.evaluated, noise=()) for layer in _of(net, net.layers)]
    params = {**g.params, "layers": _of(net, g.params["layers"])}
    given = replace(g, params=params, state=_of(net, g.state), state_cotangent=_of(net, g.state_cotangent))
    return replace(question, net=replace(net, layers=layers), given=given)


def _of(net: Network, layers: Sequence[Any]) -> list[Any]:
    """What belongs to the layers that do more than to pass their inputs on."""
    return [a for layer, a in zip(net.layers, layers, strict=True) if not layer.passes]


def _through(question: Question) -> Question:
    """Ones through a layer of relu that is the identity."""
    g = question.given
    zeros = named_map(lambda name, w: np.eye(*w.shape, dtype=w.dtype) if ".W." in name else np.zeros_like(w), g.params)
    return question.but(params=zeros, inputs=np.ones_like(g.inputs), state=tree_map(np.zeros_like, g.state))
