"""What the workers of the tests of PyTorch train for ten steps, and what the oracle says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

import rnnspec
from conformance import oracle, tolerance
from conformance.cases import Case
from rnnspec import Dense, Layer, Network, cells, chain, losses, policies, updates
from rnnspec.primitives import sigmoid, tanh

STEPS = 10
LENGTHS = (6, 2, 0, 5, 1, 6, 3)
ROWS = {1: (7,), 2: (2, 5), 4: (1, 0, 4, 2)}
"""How many rows each worker of a group of a size has; in one step in three rank 0 has none."""


@rnnspec.cell
def leaky(x, R, p, h):
    a = sigmoid(p.a)
    return a * h + (1 - a) * tanh(x.n + R.n(h))


def shares(size, step):
    """The rows of each worker."""
    ends = np.cumsum([0, *ROWS[size]])
    if size > 1 and step % 3 == 1:
        ends[1] = 0
    return [slice(*ends[rank : rank + 2]) for rank in range(size)]


@dataclass(frozen=True)
class Problem:
    case: Case
    rule: updates.UpdateRule

    def batches(self, precision):
        return [batch[:2] + batch[3:4] for batch in self.case.batches(STEPS, precision)]

    def params(self, precision):
        return self.case.arrays(precision).params

    def reference(self, precision):
        """What one process must find, and by how much rounding may change it."""
        params, batches = self.params(precision), self.batches(precision)
        return tolerance.reference(tolerance.PROFILES[precision], partial(self._asked, params, batches))

    def _asked(self, params, batches, arithmetic):
        whole = [(x, targets, None, lengths) for x, targets, lengths in batches]
        done = oracle.train(self.case.net, self.rule, params, whole, arithmetic)
        first = oracle.value_and_grad(self.case.net, params, *whole[0], arithmetic)
        return {"grads": first.grads.params} | {str(i): told(step) for i, step in enumerate(done)}

    def trained(self, be):
        """The gradients of the first batch, and the results of ten steps, of a worker that has its share of rows."""
        params, size, rank = self.params(be.precision), be.group.size, be.group.rank
        given = [of_rows(batch, shares(size, step)[rank]) for step, batch in enumerate(self.batches(be.precision))]
        (x, targets), lengths = given[0]
        found = {"grads": be.value_and_grad(self.case.net, params, x, targets, lengths=lengths).grads.params}
        kept = self.rule.init(params)
        for step, ((x, targets), lengths) in enumerate(given):
            done = be.train_step(self.case.net, self.rule, params, kept, x, targets, lengths=lengths)
            params, kept, found[str(step)] = done.params, done.rule_state, told(done)
        return be.to_numpy(found)


def told(done):
    """What is the same on every worker."""
    return {"params": done.params, "rule_state": done.rule_state, "loss_sum": done.loss_sum, "count": done.count}


def of_rows(batch, rows):
    """Some rows of a batch, no longer than the longest of them."""
    *arrays, lengths = batch
    longest = lengths[rows].max(initial=1)
    return [a[:longest, rows] for a in arrays], lengths[rows]


def classes(*layers):
    return Network(3, layers, output=Dense(4), loss=losses.SoftmaxCrossEntropy())


PROBLEMS = {
    "lstm": Problem(Case(classes(Layer(cells.lstm, 4), Layer(cells.lstm, 3)), 6, 7, LENGTHS),
                    chain(policies.ClipByGlobalNorm(0.05), updates.Adam(0.01))),
    "gru": Problem(Case(classes(Layer(cells.gru, 4, "bidirectional")), 6, 7, LENGTHS),
                   updates.HoldSpectralNorm(updates.SGD(0.5), 0.5)),
    "own": Problem(Case(Network(3, [Layer(leaky, 4)], loss=losses.SquaredError()), 6, 7, LENGTHS),
                   policies.ScaleLoss(updates.SGD(0.5, momentum=0.5), 1024.0, 3)),
    "gla": Problem(Case(classes(Layer(cells.gla, 4, heads=2)), 6, 7, LENGTHS),
                   policies.SkipNonFinite(chain(policies.ClipByValue(0.01), updates.SGD(0.5)))),
}  # fmt: skip
