"""What workers train in tests: cases of the suite with a rule, deals of their rows, and how all this is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import rnnspec
from conformance.cases import Case
from conformance.tolerance import train, value_and_grad, verdict
from rnnspec import Layer, Network, cells, policies, updates
from rnnspec.losses import SoftmaxCrossEntropy, SquaredError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import tree_map
from tests.workers.trees import part

STEPS = 10
LENGTHS = (6, 3, 0, 5, 1, 6, 2)
OWNERS = {1: (0,) * 7, 2: (0, 1, 1, 1, 1, 0, 0), 4: (0, 2, 2, 2, 3, 0, 0)}
"""Which worker has each row, by how many workers there are; of four, one has none."""


def idle(steps, owners):
    """The owners at each step (step, row), of which rank 0 has no row in some: there the last worker has them."""
    found = np.array(owners)
    at = found[steps]
    found[steps] = np.where(at == 0, found.max(), at)
    return found


FIXED = {size: np.tile(owners, (STEPS, 1)) for size, owners in OWNERS.items()}
"""A deal: the worker of each row at each step (step, row), by how many workers there are. Here nobody's rows change,
since an engine that compiles wants few shapes."""
ONCE_IDLE = {size: idle(slice(1, 2), owners) for size, owners in FIXED.items()}
ANEW = {
    size: idle(slice(1, None, 3), np.sort(np.random.default_rng(size).integers(0, size, (STEPS, len(LENGTHS)))))
    for size in OWNERS
}
"""Other rows at every step, for engines that do not compile; each worker's are neighbours."""


@rnnspec.cell
def leaky(x, R, p, h):
    a = sigmoid(p.a)
    return a * h + (1 - a) * tanh(x.n + R.n(h))


@dataclass(frozen=True)
class Problem:
    case: Case
    rule: updates.UpdateRule

    def shares(self, deal, group, precision):
        """The arguments of each training step after the parameters and the rule's state, for the rows of one worker."""
        batches = self.case.batches(STEPS, precision)
        return [of_rows(batch, np.flatnonzero(owners == group.rank))
                for batch, owners in zip(batches, deal[group.size], strict=True)]  # fmt: skip


def of_rows(batch, rows):
    """Some rows of a batch, no longer than the longest of them."""
    inputs, targets, state, lengths = batch
    own = lengths[rows]
    longest = own.max(initial=1)
    return inputs[:longest, rows], targets[:longest, rows], tree_map(lambda a: a[rows], state), own


def trained(be, problem, deal):
    """The loss, the count, the parameters and the rule's state of each step, and the gradients of the first."""
    params = problem.case.arrays(be.precision).params
    shares = problem.shares(deal, be.group, be.precision)
    found = {"grads": be.value_and_grad(problem.case.net, params, *shares[0]).grads.params}
    kept = problem.rule.init(params)
    for number, share in enumerate(shares):
        done = be.train_step(problem.case.net, problem.rule, params, kept, *share)
        params, kept = done.params, done.rule_state
        found[str(number)] = {"loss_sum": done.loss_sum, "count": done.count, "params": params, "rule_state": kept}
    found = be.to_numpy(found)
    be.group.agree(found)
    return found


def verdicts(found, problem, profile):
    """The judgement of the suite on what `trained` gave under dotted names, beside one process, by place."""
    case, rule = problem.case, problem.rule
    first, reference = value_and_grad(case, profile), train(case, rule, STEPS, profile)
    places = [f"{step}.{what}" for step in range(STEPS) for what in ("loss_sum", "count", "params", "rule_state")]
    told = {"grads": verdict(part(found, "grads"), first.at("grads.params"))}
    return told | {place: verdict(part(found, place), reference.at(place)) for place in places}


def assert_passed(verdicts):
    failed = {place: str(told) for place, told in verdicts.items() if not told.passed}
    assert not failed


def classes(*layers):
    return Network(3, layers, output=rnnspec.Dense(4), loss=SoftmaxCrossEntropy())


def of_case(net):
    return Case(net, max(LENGTHS), len(LENGTHS), LENGTHS)


PROBLEMS = {
    "lstm": Problem(of_case(classes(Layer(cells.lstm, 4), Layer(cells.lstm, 3))),
                    rnnspec.chain(policies.ClipByGlobalNorm(0.05), updates.SGD(0.5, momentum=0.5))),
    "gru": Problem(of_case(classes(Layer(cells.gru, 4, "bidirectional"))),
                   updates.HoldSpectralNorm(updates.SGD(0.5), 0.5)),
    "own": Problem(of_case(Network(3, [Layer(leaky, 4)], loss=SquaredError())),
                   policies.ScaleLoss(updates.SGD(0.5), 1024.0, 3)),
    "gla": Problem(of_case(classes(Layer(cells.gla, 4, heads=2))),
                   policies.SkipNonFinite(updates.Adam(0.01))),
    "delta": Problem(of_case(classes(Layer(cells.deltanet, 4, heads=2))),
                     policies.SkipNonFinite(rnnspec.chain(policies.ClipByValue(0.01), updates.Adam(0.01)))),
}  # fmt: skip
