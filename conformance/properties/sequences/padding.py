"""Padding: what stands behind a row's end is not there. Outputs are 0, states are held, gradients are 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, is_eager
from conformance.registry import law
from conformance.statements import PADDING
from conformance.tolerance import PROFILES
from rnnspec import Backend
from rnnspec.tree import tree_map

PADDINGS = (np.nan, np.inf, -np.inf, -1e30, 1.0)


@law(PADDING["P30"], cases=networks.padded(networks.pulls), needs=("lengths",), also=("gradients",))
def contents(backend: Backend, case: Case, judge: Judge) -> None:
    """NaN, infinities and large numbers in inputs and cotangents: neither values nor any gradient move a bit."""
    clean, profile = replace(case, padding=0.0), PROFILES[backend.precision]
    judge.applies(bool((case.ends < case.steps).any()), "no row is padded")
    question = ask(backend, clean)
    run, pulled = question.run(), question.pull() if judge.gradients else None
    for value in PADDINGS:
        dirty = ask(backend, replace(case, padding=value))
        judge.equal(f"run with {value} in the padding", dirty.run(), run, tolerance.run(clean, profile))
        if pulled:
            judge.equal(f"pullback with {value} in the padding", dirty.pull(), pulled,
                        tolerance.pullback(clean, profile))  # fmt: skip


@law(PADDING["P30-loss"], cases=networks.padded(networks.losses), needs=("lengths", "gradients"))
def loss_contents(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes padded real targets NaN, and padded class numbers negative or too large."""
    clean, profile = replace(case, padding=0.0), PROFILES[backend.precision]
    judge.applies(bool((case.ends < case.steps).any()), "no row is padded")
    step = ask(backend, clean).step()
    for value in PADDINGS:
        question = ask(backend, replace(case, padding=value))
        y = np.array(question.given.targets)
        if y.dtype.kind == "i":
            y[~case.real] = 10**6
        judge.equal(f"value_and_grad with {value} in the padding", question.but(targets=y).step(), step,
                    tolerance.value_and_grad(clean, profile))  # fmt: skip


@law(PADDING["P31"], cases=networks.padded(networks.cells), needs=("lengths",), also=("gradients",))
def longer(backend: Backend, case: Case, judge: Judge) -> None:
    """Three steps more, of NaN. Where every length of time is another program, in tier deep alone."""
    judge.applies(is_eager(backend), "each number of steps costs this backend a compiled program")
    question, profile, extra = ask(backend, case), PROFILES[backend.precision], 3

    def pad(a: Any) -> Any:
        return np.concatenate([a, np.full((extra, *a.shape[1:]), np.nan, a.dtype)])

    g = question.given
    more = question.but(inputs=pad(g.inputs), output_cotangent=pad(g.output_cotangent), lengths=question.ends)
    answer = more.run()
    judge.exactly("outputs in the padding", answer.outputs[case.steps :], 0)
    judge.agree("run", {"outputs": answer.outputs[: case.steps], "state": answer.state}, question.run(),
                tolerance.run(case, profile))  # fmt: skip
    if not judge.gradients:
        return
    pulled = more.pull()
    judge.agree("pullback", {"params": pulled.params, "inputs": pulled.inputs[: case.steps], "state": pulled.state},
                question.pull(), tolerance.pullback(case, profile))  # fmt: skip


@law(PADDING["P32"], cases=networks.padded(networks.runs), needs=("lengths",))
def zeros(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for exact zeros."""
    question = ask(backend, case)
    judge.exactly("padded outputs", question.run().outputs[~case.real], 0)


@law(PADDING["P33"], cases=networks.padded(networks.runs), needs=("lengths",))
def final_states(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares each row with a batch whose rows all have this row's length."""
    question = ask(backend, case)
    judge.applies(case.steps <= 64, "so many lengths take too long")
    whole, reference = question.run(), tolerance.run(case, PROFILES[backend.precision]).at("state")
    state = tree_map(np.array, whole.state)
    for length in sorted(set(question.ends.tolist())):
        rows = question.ends == length
        same = question.but(lengths=np.full_like(question.ends, length)).run()

        def put(s: Any, t: Any, rows: Any = rows) -> None:
            s[rows] = t[rows]

        tree_map(put, state, same.state)
    judge.agree("final states", state, whole.state, reference)


@law(PADDING["P34"], cases=networks.padded(networks.pulls), needs=("lengths", "gradients"))
def no_gradient(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for exact zeros."""
    padded = np.arange(case.steps)[:, None] >= case.ends
    judge.exactly("gradients of padded inputs", ask(backend, case).pull().inputs[padded], 0)


@law(PADDING["P34-loss"], cases=networks.padded(networks.losses), needs=("lengths", "gradients"))
def no_loss_gradient(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for exact zeros."""
    step, padded = ask(backend, case).step(), np.arange(case.steps)[:, None] >= case.ends
    judge.exactly("gradients of padded inputs", step.grads.inputs[padded], 0)
    judge.exactly("gradients of states that reach no loss",
                  tree_map(lambda s: s[case.ends == 0], step.grads.state), 0)  # fmt: skip


@law(PADDING["P35"], cases=networks.plain, needs=("lengths",), also=("gradients",))
def full_lengths(backend: Backend, case: Case, judge: Judge) -> None:
    """The network called without lengths against its layer called with full ones, the output layer in NumPy."""
    question, reference = ask(backend, case), tolerance.run(case, PROFILES[backend.precision])
    g, layer = question.given, _layer_alone(question)
    answer, dense = layer.run(), g.params["output"]
    z = answer.outputs @ dense["W"].T + dense["b"]
    if not judge.gradients:
        judge.agree("run", {"outputs": z, "state": answer.state}, question.run(), reference)
        return
    d = (z - g.targets).astype(z.dtype)
    pulled = layer.but(output_cotangent=d @ dense["W"], state_cotangent=tree_map(np.zeros_like, g.state)).pull()
    step = question.step()
    output = {"W": np.einsum("tbo,tbh->oh", d, answer.outputs), "b": d.sum((0, 1))}
    found = {"params": {**pulled.params, "output": output}, "inputs": pulled.inputs, "state": pulled.state}
    judge.agree("the final state", answer.state, step.state, reference.at("state"))
    judge.agree("gradients of a squared error", found, step.grads,
                tolerance.value_and_grad(case, PROFILES[backend.precision]).at("grads"))  # fmt: skip
    judge.holds("the count", step.count == case.steps * case.batch, step.count, case.steps * case.batch)


@law(PADDING["P36"], cases=networks.padded(networks.pulls), needs=("lengths",), also=("gradients",))
def empty_rows(backend: Backend, case: Case, judge: Judge) -> None:
    """Sets one row's length to 0, and asks for exact equality."""
    question = ask(backend, case)
    judge.applies(case.batch > 0, "there is no row")
    ends = np.where(np.arange(case.batch) == case.seed % case.batch, 0, question.ends)
    question, rows = question.but(lengths=ends), ends == 0
    answer, g = question.run(), question.given
    judge.exactly("states", tree_map(lambda s: s[rows], answer.state), tree_map(lambda s: s[rows], g.state))
    judge.exactly("outputs", answer.outputs[..., rows, :], 0)
    if not judge.gradients:
        return
    pulled = question.pull()
    judge.exactly("state gradients", tree_map(lambda s: s[rows], pulled.state),
                  tree_map(lambda s: s[rows], g.state_cotangent))  # fmt: skip
    judge.exactly("input gradients", pulled.inputs[:, rows], 0)


def _layer_alone(question: Question) -> Question:
    net, g = question.net, question.given
    lone = networks.network_for(net.layers[0].cell)
    return Question(question.backend, lone, replace(g, params={"layers": g.params["layers"]}, lengths=question.ends))
