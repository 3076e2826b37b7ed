"""What the workers of every engine are asked beside their trainings: the mean of means, and one worker's faults."""

from __future__ import annotations

import numpy as np

from rnnspec.errors import RnnSpecError
from rnnspec.tree import flat
from tests.workers.trees import part


def mean_of_means(be, problem, deal):
    """The gradient that every worker's own mean gives when the means are averaged, and the true one; two losses too."""
    net, params = problem.case.net, problem.case.arrays(be.precision).params
    share = problem.shares(deal, be.group, be.precision)[0]
    own, whole = (b.value_and_grad(net, params, *share) for b in (be.alone, be))
    means = [grad / max(own.count, 1) for grad in flat(be.to_numpy(own.grads.params))]
    loss = be.to_numpy(be.mean_loss(own.loss_sum, own.count))
    *averages, mean_loss = be.to_numpy(be.group.sum(be.asarray([*means, loss]), [])[0])
    return {"wrong": [mean / be.group.size for mean in averages], "loss": mean_loss / be.group.size,
            "right": [grad / whole.count for grad in flat(be.to_numpy(whole.grads.params))],
            "true loss": be.to_numpy(whole.loss_sum) / whole.count}  # fmt: skip


def assert_another_gradient(found):
    """The averaged means are far from the gradient of the mean, which the sums give; `mean_loss` is right."""
    wrong, right = (np.concatenate([a.ravel() for name, a in found.items() if name.startswith(f"{which}.")])
                    for which in ("wrong", "right"))  # fmt: skip
    assert np.linalg.norm(wrong - right) > 0.1 * np.linalg.norm(right)
    np.testing.assert_allclose(found["loss"], found["true loss"], rtol=1e-5)


def faults(be, problem, deal):
    """What a bad target, an input of NaN and other numbers of the last worker do to all; its rule skips such a step."""
    net, rule, last = problem.case.net, problem.rule, be.group.rank == be.group.size - 1
    params = be.asarray(problem.case.arrays(be.precision).params)
    inputs, targets, *rest = problem.shares(deal, be.group, be.precision)[0]
    kept = rule.init(params)
    told = said(lambda: be.train_step(net, rule, params, kept, inputs, targets + 9 * last, *rest))
    done = be.train_step(net, rule, params, kept, inputs * (np.nan if last else 1.0), targets, *rest)
    other = said(lambda: be.group.agree({"w": np.full(3, be.group.rank)}))
    numbers = be.to_numpy({"skipped": done.rule_state["skipped"], "params": done.params, "before": params})
    return {"told": told, "agree": other} | numbers


def said(call):
    """The error of a call, in words."""
    try:
        call()
    except RnnSpecError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def assert_told(first, second, engine):
    """The first of two workers learns who failed, and the second what was wrong; other numbers are told to both."""
    assert str(first["faults.told"]) == (f"WorkerError: {engine}.train_step(...): every worker's own call must "
                                         "succeed, got an error of rank 1; look at the error there")  # fmt: skip
    expected = f"TargetError: {engine}.train_step(...): targets at real steps must be class numbers of 0..3"
    assert str(second["faults.told"]).startswith(expected)
    for found in (first, second):
        assert "got others on rank 1" in str(found["faults.agree"])


def assert_skipped(found):
    """The step with NaN changed no parameter."""
    assert found["faults.skipped"] == 1
    before, after = part(found, "faults.before"), part(found, "faults.params")
    assert before.keys() == after.keys()
    assert before
    assert all(np.array_equal(before[leaf], after[leaf]) for leaf in before)
