"""Small numbers: what is below the smallest normal number of a precision may be lost, and nothing above it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case, Pull
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.statements import EXTREMES
from rnnspec import Backend
from rnnspec.tree import Tree, named_map, tree_map

SHIFTS = {"f64": -980, "f32": -104, "bf16": -104}
"""Powers of two that leave some digits above the smallest normal number: 2^-1022, and 2^-126."""


@law(EXTREMES["P117"], cases=networks.cells, needs=("lengths",), also=("gradients",), oracle=True)
def kept(backend: Backend, case: Case, judge: Judge) -> None:
    """Small inputs under large maps and the other way round, small states and biases, small cotangents."""
    judge.applies(backend.precision in SHIFTS, "the precision has no small numbers to spare")
    question, k = ask(backend, replace(case, pull=Pull.BOTH, padding=0.0)), SHIFTS[backend.precision]
    g = question.given
    for what, exponent in (("inputs", k), ("input maps", -k)):
        moved = question.but(inputs=np.ldexp(g.inputs, exponent), params=_times(g.params, ".W.", -exponent))
        _judge(judge, f"small {what}", moved)
    _judge(judge, "small states, inputs and biases", question.but(
        inputs=np.ldexp(g.inputs, k), state=_all_times(g.state, k),
        params=_times(_times(g.params, ".b.", k), ".p.", k)))  # fmt: skip
    if judge.gradients:
        small = question.but(output_cotangent=np.ldexp(g.output_cotangent, k),
                             state_cotangent=_all_times(g.state_cotangent, k))  # fmt: skip
        judge.close("pullback of small cotangents", small.pull(), small.pull_reference())


def _judge(judge: Judge, what: str, asked: Question) -> None:
    judge.close(f"run of {what}", asked.run(), asked.run_reference())


def _all_times(tree: Tree, k: int) -> Tree:
    return tree_map(lambda a: np.ldexp(a, k), tree)


def _times(params: Tree, kind: str, k: int) -> Tree:
    """Parameters, those of one kind times a power of two."""
    def times(name: str, a: Any) -> Any:
        return np.ldexp(a, k) if kind in name else a

    return named_map(times, params)
