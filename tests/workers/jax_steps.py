"""One of several processes of JAX with several devices each: trainings, sums, and what goes wrong."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import rnnspec
from rnnspec.errors import RnnSpecError
from rnnspec.tree import leaves
from tests.workers.jax_problems import DEALT, KEY, NOISY, PRECISIONS, SMALL, named, stepped
from tests.workers.launching import give
from tests.workers.mpi_problems import trained

DTYPES = ("float32", "float64", "bfloat16", "float16")


def main(size, rank):
    jax.distributed.initialize(num_processes=size, process_id=rank, heartbeat_timeout_seconds=60)
    firsts = [next(d for d in jax.devices() if d.process_index == process) for process in range(size)]
    single, double = Mesh(firsts, ("rows",)), Mesh(jax.devices(), ("rows",))
    found = {}
    for name, problem in DEALT.items():
        be = rnnspec.get_backend("jax", precision=PRECISIONS[name])
        found |= named(f"{name}.trained", be.to_numpy(trained(be.across(single), problem)))
    wide = rnnspec.get_backend("jax", precision="f64")
    rows = np.array_split(np.arange(NOISY.batch), size)[rank]
    found |= named("noisy", stepped(wide.across(double), NOISY, rows, KEY))
    be = rnnspec.get_backend("jax").across(single)
    found |= named("mean of means", mean_of_means(wide.across(single), SMALL))
    found |= named("faults", faults(be, SMALL))
    found |= named("sums", sums(be.group))
    give(**found)
    jax.distributed.shutdown()


def mean_of_means(be, problem):
    """The gradient that every worker's own mean gives when the means are averaged, and the true one."""
    net, params = problem.case.net, problem.case.arrays(be.precision).params
    share = next(problem.shares(be.group.rank, be.group.size, be.precision))
    own, whole = (b.value_and_grad(net, params, *share) for b in (be.alone, be))
    means = [grad / max(own.count, 1) for _, grad in leaves(be.to_numpy(own.grads.params))]
    averages = [mean / be.group.size for mean in be.to_numpy(be.group.sum(be.asarray(means), [])[0])]
    return {"wrong": averages, "right": [grad / whole.count for _, grad in leaves(be.to_numpy(whole.grads.params))]}


def faults(be, problem):
    """What a bad target, an input of NaN and other parameters of rank 1 do to every worker."""
    net, params, last = problem.case.net, be.asarray(problem.case.arrays("f32").params), be.group.rank == 1
    inputs, targets, state, lengths = next(problem.shares(be.group.rank, be.group.size, "f32"))
    rule = rnnspec.policies.SkipNonFinite(problem.rule)
    kept = rule.init(params)
    told = said(lambda: be.train_step(net, rule, params, kept, inputs, targets + 9 * last, state, lengths))
    done = be.train_step(net, rule, params, kept, inputs * (np.nan if last else 1.0), targets, state, lengths)
    other = said(lambda: be.group.agree({"w": np.full(3, be.group.rank)}))
    return {"told": told, "agree": other, "skipped": done.rule_state["skipped"], "params": done.params,
            "before": params}  # fmt: skip


def said(call):
    try:
        call()
    except RnnSpecError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def summands(dtype):
    """What each of four workers adds to a sum."""
    drawn = np.random.default_rng(0).normal(size=(4, 50, 3))
    return [a.astype(jnp.dtype(dtype)) for a in drawn]


def sums(group):
    """Sums of every dtype, of counts alone and of nothing, and of counts up to 2^48."""
    with jax.enable_x64(True):
        given = [jnp.asarray(summands(dtype)[group.rank]) for dtype in DTYPES]
        found, counts = group.sum([*given, jnp.zeros((0, 2))], [2**45 - 1, group.rank])
    assert [str(a.dtype) for a in found] == [*DTYPES, "float64"]
    assert group.sum([], []) == ([], [])
    return {"arrays": [np.asarray(a).astype(float) for a in found], "counts": counts, "gathered": group.gathered(7)}


if __name__ == "__main__":
    main(int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"]))
