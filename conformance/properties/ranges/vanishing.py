"""Zeros where numbers are expected: a bias, a map, a vector or all inputs of zeros is a number like others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.statements import EXTREMES
from rnnspec import Backend
from rnnspec.tree import Tree, leaves, named_map, tree_map


@law(EXTREMES["P115"], cases=networks.cells, needs=("lengths",), also=("gradients",), oracle=True)
def parameters(backend: Backend, case: Case, judge: Judge) -> None:
    """All of one kind, one recurrent map of several, one state of several, and every input."""
    question = ask(backend, replace(case, padding=0.0))
    for what, other in _with_zeros(question):
        judge.close(f"run with {what} of zeros", other.run(), other.run_reference())
        if judge.gradients:
            judge.close(f"pullback with {what} of zeros", other.pull(), other.pull_reference())


@law(EXTREMES["P115-loss"], cases=lambda scope: {**networks.losses(scope), **networks.plain(scope)},
     needs=("gradients",), oracle=True)  # fmt: skip
def output(backend: Backend, case: Case, judge: Judge) -> None:
    """Sets the output layer's map, and then its bias, to zeros."""
    question = ask(backend, replace(case, padding=0.0))
    for name in ("W", "b"):
        given = named_map(_zeros_in(f"output.{name}"), question.given.params)
        other = question.but(params=given)
        judge.close(f"the loss with an output {name} of zeros", other.step(), other.step_reference())


def _with_zeros(question: Question) -> Iterator[tuple[str, Question]]:
    g = question.given
    names = [name for name, _ in leaves(g.params)]
    for kind, what in (("W", "input maps"), ("b", "biases"), ("p", "vectors")):
        if any(f".{kind}." in name for name in names):
            yield what, question.but(params=named_map(_zeros_in(f".{kind}."), g.params))
    maps = sorted(name for name in names if ".U." in name)
    if len(maps) > 1:
        yield "one recurrent map", question.but(params=named_map(_zeros_in(maps[0]), g.params))
    states = sorted(name for name, _ in leaves(g.state))
    if len(states) > 1:
        yield "one state", question.but(state=named_map(_zeros_in(states[-1]), g.state))
    yield "inputs", question.but(inputs=tree_map(np.zeros_like, g.inputs))


def _zeros_in(part: str) -> Any:
    """Zeros for what has a part in its name."""
    def zeros(name: str, a: Any) -> Tree:
        return np.zeros_like(a) if part in f"{name}." else a

    return zeros
