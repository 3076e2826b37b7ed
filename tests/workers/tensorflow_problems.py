"""What the workers of TensorFlow's tests train: cases of the suite, whose rows are dealt out unevenly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import rnnspec
from conformance.cases import Case
from rnnspec import Layer, Network, cells, policies, updates
from rnnspec.losses import SoftmaxCrossEntropy, SquaredError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import leaves, tree_map

STEPS = 10
LENGTHS = (6, 3, 0, 5, 1, 6, 2)
CUTS = {1: (), 2: (3,), 4: (2, 2, 5)}
"""Where the rows are cut for so many workers; of four, one has no rows at all."""


@rnnspec.cell
def leaky(x, R, p, h):
    a = sigmoid(p.a)
    return a * h + (1 - a) * tanh(x.n + R.n(h))


@dataclass(frozen=True)
class Problem:
    case: Case
    rule: updates.UpdateRule

    def shares(self, rank, size, precision):
        """What one worker gives to each training step; in the second one the first worker has no rows.

        Shapes do not change otherwise, since TensorFlow traces each anew.
        """
        for step, (inputs, targets, state, lengths) in enumerate(self.case.batches(STEPS, precision)):
            inner = (0, *CUTS[size][1:]) if step == 1 and size > 1 else CUTS[size]
            rows = slice(*(0, *inner, self.case.batch)[rank : rank + 2])
            yield inputs[:, rows], targets[:, rows], tree_map(lambda a, rows=rows: a[rows], state), lengths[rows]


def trained(be, problem, steps=STEPS):
    """The gradients of the first step, then loss, count, parameters and the rule's state of the first and the last."""
    params, found = problem.case.arrays(be.precision).params, {}
    shares = list(problem.shares(be.group.rank, be.group.size, be.precision))[:steps]
    found["grads"] = be.value_and_grad(problem.case.net, params, *shares[0]).grads.params
    kept = problem.rule.init(params)
    for number, share in enumerate(shares):
        done = be.train_step(problem.case.net, problem.rule, params, kept, *share)
        params, kept = done.params, done.rule_state
        if number in (0, steps - 1):
            found[str(number)] = {"loss_sum": done.loss_sum, "count": done.count, "params": params, "rule_state": kept}
    found = be.to_numpy(found)
    be.group.agree(found)
    return found


def named(place, tree):
    return {f"{place}.{name}": np.asarray(array) for name, array in leaves(tree)}


def part(found, place):
    """The arrays under a dotted name, without it."""
    return {name.removeprefix(place).removeprefix("."): array for name, array in found.items()
            if f"{name}.".startswith(f"{place}.")}  # fmt: skip


def classes(*layers):
    return Network(3, layers, output=rnnspec.Dense(4), loss=SoftmaxCrossEntropy())


PROBLEMS = {
    "lstm": Problem(Case(classes(Layer(cells.lstm, 4)), 6, 7, LENGTHS),
                    rnnspec.chain(policies.ClipByGlobalNorm(0.05), updates.SGD(0.5, momentum=0.5))),
    "gru": Problem(Case(classes(Layer(cells.gru, 4, "bidirectional")), 6, 7, LENGTHS),
                   updates.HoldSpectralNorm(updates.SGD(0.5), 0.5)),
    "own": Problem(Case(Network(3, [Layer(leaky, 4)], loss=SquaredError()), 6, 7, LENGTHS),
                   policies.ScaleLoss(updates.SGD(0.5), 1024.0, 3)),
    "delta": Problem(Case(classes(Layer(cells.deltanet, 4, heads=2)), 6, 7, LENGTHS),
                     policies.SkipNonFinite(updates.Adam(0.01))),
}  # fmt: skip
