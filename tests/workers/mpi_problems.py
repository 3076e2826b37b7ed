"""What the workers of the tests of MPI train: cases of the suite, whose rows are dealt out anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import rnnspec
from conformance.cases import Case
from rnnspec import Layer, Network, cells, policies, updates
from rnnspec.losses import SoftmaxCrossEntropy, SquaredError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import tree_map

STEPS = 10
LENGTHS = (7, 3, 0, 5, 1, 7, 2)


@rnnspec.cell
def leaky(x, R, p, h):
    a = sigmoid(p.a)
    return a * h + (1 - a) * tanh(x.n + R.n(h))


@dataclass(frozen=True)
class Problem:
    case: Case
    rule: rnnspec.updates.UpdateRule

    def shares(self, rank, size, precision):
        """The arguments of each training step after the parameters and the rule's state, for the rows of one worker."""
        rng = np.random.default_rng(size)
        for step, batch in enumerate(self.case.batches(STEPS, precision)):
            inner = np.sort(rng.integers(0, self.case.batch + 1, size - 1))
            if step == 1 and size > 1:
                inner[0] = 0  # rank 0 has no row
            yield of_rows(batch, slice(*np.array([0, *inner, self.case.batch])[rank : rank + 2]))


def of_rows(batch, rows):
    """Some rows of a batch, no longer than the longest of them."""
    inputs, targets, state, lengths = batch
    own = lengths[rows]
    longest = own.max(initial=1)
    return inputs[:longest, rows], targets[:longest, rows], tree_map(lambda a: a[rows], state), own


def trained(be, problem):
    """The loss, the count, the parameters and the rule's state of each step, and the gradients of the first."""
    params = problem.case.arrays(be.precision).params
    shares = list(problem.shares(be.group.rank, be.group.size, be.precision))
    found = {"grads": be.value_and_grad(problem.case.net, params, *shares[0]).grads.params}
    kept = problem.rule.init(params)
    for number, share in enumerate(shares):
        done = be.train_step(problem.case.net, problem.rule, params, kept, *share)
        params, kept = done.params, done.rule_state
        found[str(number)] = {"loss_sum": done.loss_sum, "count": done.count, "params": params, "rule_state": kept}
    be.group.agree(be.to_numpy(found))
    return found


def classes(*layers):
    return Network(3, layers, output=rnnspec.Dense(4), loss=SoftmaxCrossEntropy())


PROBLEMS = {
    "lstm": Problem(Case(classes(Layer(cells.lstm, 4), Layer(cells.lstm, 3)), 7, 7, LENGTHS),
                    rnnspec.chain(policies.ClipByGlobalNorm(0.05), updates.SGD(0.5, momentum=0.5))),
    "gru": Problem(Case(classes(Layer(cells.gru, 4, "bidirectional")), 7, 7, LENGTHS),
                   updates.HoldSpectralNorm(updates.SGD(0.5), 0.5)),
    "own": Problem(Case(Network(3, [Layer(leaky, 4)], loss=SquaredError()), 7, 7, LENGTHS),
                   policies.ScaleLoss(updates.SGD(0.5), 1024.0, 3)),
    "gla": Problem(Case(classes(Layer(cells.gla, 4, heads=2)), 7, 7, LENGTHS),
                   policies.SkipNonFinite(updates.Adam(0.01))),
}  # fmt: skip
