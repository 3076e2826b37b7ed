"""Learned initial states: where a call begins, and where a reset does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question, is_eager
from conformance.properties.embedding import networks
from conformance.properties.embedding.lookup import asked
from conformance.registry import law
from conformance.statements import EMBEDDING
from rnnspec import Backend, Network
from rnnspec.tree import Tree, tree_map


@law(EMBEDDING["P189"], cases=networks.beginning, needs=("lengths",),
     also=("gradients", "resets", "embedding", "learned_state"), oracle=True)  # fmt: skip
def learned(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares with the oracle; where another call costs nothing, also gives each row the learned state, and others."""
    question = asked(backend, case)
    if judge.gradients:
        found = question.step()
        judge.close("value_and_grad", found, question.step_reference())
    else:
        judge.close("run", question.run(), question.run_reference())
    if is_eager(backend):
        _judge_given(question.but(resets=None), case, judge)


def _judge_given(alone: Question, case: Case, judge: Judge) -> None:
    """Gives the learned states to a call without resets, and states that are none of them."""
    given = alone.but(state=_given(case, alone.given.params))
    judge.agree("run", given.run(), alone.run(), alone.run_reference())
    if judge.gradients:
        found, other = alone.step(), given.step()
        own = _summed(case.net, other.grads.params, other.grads.state)
        judge.agree("value_and_grad", replace(other, grads=replace(other.grads, params=own)), found,
                    alone.step_reference())  # fmt: skip
    another = alone.but(state=replace(case, unset=False).arrays(alone.backend.precision).state)
    judge.close("run from a given state", another.run(), another.run_reference())


def _given(case: Case, params: Tree) -> Tree:
    """The state that the learned ones are, and zeros where none is learned."""
    def rows(a: Any) -> Any:
        return np.broadcast_to(a, (case.batch, *a.shape)).copy()

    zeros = case.net.state_tree(case.batch, np.zeros)
    return [{half: tree_map(rows, own[half]["initial"]) if "initial" in own[half] else none
             for half, none in halves.items()}
            for own, halves in zip(params["layers"], zeros, strict=True)]  # fmt: skip


def _summed(net: Network, params: Tree, state: Tree) -> Tree:
    """The gradients with those of learned states: sums over rows of the gradients of the given ones."""
    layers = []
    for layer, halves, ends in zip(net.layers, params["layers"], state, strict=True):
        sums = {half: {s: d.astype(np.float64).sum(0).astype(d.dtype) for s, d in own.items()}
                for half, own in ends.items()}  # fmt: skip
        layers.append({half: {**own, "initial": sums[half]} if layer.learned_state else own
                       for half, own in halves.items()})  # fmt: skip
    return {**params, "layers": layers}
