"""What processes of JAX read from their environment in tests, and what they train."""

from __future__ import annotations

from conformance.tolerance import PROFILES
from tests.workers.launching import free_port
from tests.workers.problems import FIXED, ONCE_IDLE, PROBLEMS, verdicts
from tests.workers.trees import part

TRAINED = {"lstm": ("f64", ONCE_IDLE), "gru": ("f32", FIXED), "own": ("f64", FIXED), "gla": ("f32", FIXED)}
"""The precision and the deal of each problem: a deal that changes once has its program compiled once more."""
ALONE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
"""For processes that share no cache of programs, where one reads what another has not written to its end."""

QUICKLY_COMPILED = "--xla_backend_optimization_level=0"
"""A flag of XLA, since exchanges are tested and not its optimiser, with which docs/workers-jax.md's commands run."""


def devices_of(count):
    """So many devices of one CPU."""
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count} {QUICKLY_COMPILED}"}


def environment(size, devices=1):
    """The variables of each of so many processes, with so many devices each."""
    own = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": str(size)}
    return lambda rank: ALONE | own | {"JAX_PROCESS_ID": str(rank)} | devices_of(devices)


def judgement(found, name):
    """That of the suite on what a process trained, by place."""
    precision, _ = TRAINED[name]
    return verdicts(part(found, f"{name}.trained"), PROBLEMS[name], PROFILES[precision])
