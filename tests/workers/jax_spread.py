"""What JAX's devices share in tests: cases, and one call for some rows of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.cases import Case
from rnnspec import Dense, Dropout, Embedding, Key, Last, Layer, Network, Path, cells
from rnnspec.losses import CTC, SoftmaxCrossEntropy
from rnnspec.noise.kinds import Zoneout
from tests.workers.problems import classes, leaky, of_rows


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
