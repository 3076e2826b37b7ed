"""What JAX's workers compute in tests: cases whose rows devices share, and trainings with a fixed deal of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.tolerance import PROFILES, train, value_and_grad, verdict
from rnnspec import Dense, Dropout, Embedding, Key, Last, Layer, Network, Path, cells, updates
from rnnspec.losses import CTC, SoftmaxCrossEntropy
from rnnspec.noise.kinds import Zoneout
from rnnspec.tree import leaves
from tests.workers.mpi_problems import PROBLEMS, STEPS, Problem, classes, leaky, of_rows


@dataclass(frozen=True)
class Spread:
    """A case whose rows four devices share; `held` holds the backend to a path."""

    case: Case
    precision: str
    held: Callable[[Any], Any] = lambda be: be


SPREAD = {
    "fewer rows than devices": Spread(
        Case(Network(Embedding(6, 3), [Layer(cells.gru, 4, "bidirectional", learned_state=True)], Last(), Dense(4),
                     SoftmaxCrossEntropy()), 6, 3, (6, 0, 2), resets=0.2, unset=True), "f64"),
    "labels without alignment": Spread(
        Case(Network(3, [Layer(cells.lstm, 4)], output=Dense(5), loss=CTC(blank=1)), 7, 6, (7, 6, 7, 5, 7, 7),
             resets=0.1), "f64"),
    "a matrix": Spread(Case(classes(Layer(cells.gla, 4)), 5, 8), "f32"),
    "one's own cell": Spread(Case(classes(Layer(leaky, 4)), 5, 5, (5, 0, 3, 2, 5)), "f32",
                             lambda be: be.through(Path.FRAMEWORK)),
    "bf16": Spread(Case(classes(Layer(cells.elman, 4)), 5, 6, (5, 0, 3, 2, 5, 1)), "bf16"),
    "f16": Spread(Case(classes(Layer(cells.elman, 4)), 5, 6, (5, 0, 3, 2, 5, 1)), "f16"),
}  # fmt: skip

NOISY = Case(classes(Layer(cells.lstm, 4, noise=(Dropout(0.4), Zoneout(0.3))), Layer(cells.gru, 3)), 6, 7,
             (6, 3, 0, 5, 1, 6, 2))  # fmt: skip
KEY = Key(5)


OWNERS = (0, 1, 1, 2, 3, 0, 0)
"""Which of four workers has each row; of fewer workers, the last has the rows of those that are not there."""


@dataclass(frozen=True)
class Dealt(Problem):
    """A training in which each worker keeps its rows, so that JAX compiles few programs."""

    empty: bool = False
    """Whether rank 0 has no row in the second step; the last worker then has them."""

    def shares(self, rank, size, precision):
        for step, batch in enumerate(self.case.batches(STEPS, precision)):
            owners = np.minimum(OWNERS, size - 1)
            if self.empty and step == 1:
                owners[owners == 0] = size - 1
            yield of_rows(batch, np.flatnonzero(owners == rank))


PRECISIONS = {"lstm": "f64", "gru": "f32", "own": "f64", "gla": "f32"}
DEALT = {name: Dealt(problem.case, problem.rule, name == "lstm") for name, problem in PROBLEMS.items()}

SMALL = Dealt(Case(classes(Layer(leaky, 3)), 7, 7, (7, 3, 0, 5, 1, 7, 2)), updates.SGD(1.0))


def stepped(be, case, rows=None, key=None):
    """A call of `value_and_grad` for some rows of a case, or for all, as a tree of NumPy arrays."""
    a = case.arrays(be.precision)
    batch = a.inputs, a.targets, a.state, a.lengths
    step = be.value_and_grad(case.net, a.params, *(batch if rows is None else of_rows(batch, rows)), a.resets, key)
    grads = {"params": step.grads.params, "inputs": step.grads.inputs, "state": step.grads.state}
    found = be.to_numpy(without_nothing({"loss_sum": step.loss_sum, "grads": grads, "state": step.state}))
    return found | {"count": np.array(step.count)}


def without_nothing(tree):
    """A tree without the cotangents that class numbers do not have."""
    return {name: without_nothing(part) if isinstance(part, dict) else part for name, part in tree.items()
            if part is not None}


def named(place, tree):
    return {f"{place}.{name}": np.asarray(array) for name, array in leaves(tree)}


def part(found, place):
    """The arrays under a dotted name, without it."""
    return {name.removeprefix(f"{place}."): array for name, array in found.items() if name.startswith(f"{place}.")}


def verdicts(found, name):
    """On the first gradients of a training, and on the first and the last of its ten steps."""
    problem, profile, own = DEALT[name], PROFILES[PRECISIONS[name]], part(found, f"{name}.trained")
    yield verdict(part(own, "grads"), value_and_grad(problem.case, profile).at("grads.params"))
    reference = train(problem.case, problem.rule, STEPS, profile)
    for step in ("0", "9"):
        for what in ("params", "rule_state"):
            yield verdict(part(own, f"{step}.{what}"), reference.at(f"{step}.{what}"))
        for what in ("loss_sum", "count"):
            yield verdict(own[f"{step}.{what}"], reference.at(f"{step}.{what}"))
