"""One of several processes of JAX with several devices each: trainings, sums, and what goes wrong."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import rnnspec
from tests.workers.asked import faults, mean_of_means
from tests.workers.jax_launches import TRAINED
from tests.workers.jax_spread import KEY, NOISY, stepped
from tests.workers.launching import give
from tests.workers.problems import FIXED, PROBLEMS, trained
from tests.workers.trees import named

DTYPES = ("float32", "float64", "bfloat16", "float16")


def main(size, rank):
    jax.distributed.initialize(num_processes=size, process_id=rank, heartbeat_timeout_seconds=60)
    firsts = [next(d for d in jax.devices() if d.process_index == process) for process in range(size)]
    single, double = Mesh(firsts, ("rows",)), Mesh(jax.devices(), ("rows",))
    found = {}
    for name, (precision, deal) in TRAINED.items():
        be = rnnspec.get_backend("jax", precision=precision).across(single)
        found |= named(f"{name}.trained", trained(be, PROBLEMS[name], deal))
    wide = rnnspec.get_backend("jax", precision="f64")
    rows = np.array_split(np.arange(NOISY.batch), size)[rank]
    found |= named("noisy", stepped(wide.across(double), NOISY, rows, KEY))
    be = rnnspec.get_backend("jax").across(single)
    found |= named("mean of means", mean_of_means(wide.across(single), PROBLEMS["lstm"], FIXED))
    found |= named("faults", faults(be, PROBLEMS["gla"], FIXED))
    found |= named("sums", sums(be.group))
    give(**found)
    jax.distributed.shutdown()


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
