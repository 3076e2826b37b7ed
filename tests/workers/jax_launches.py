"""What processes of JAX read from their environment in tests."""

from __future__ import annotations

from tests.workers.launching import free_port

ALONE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
"""For processes that share no cache of programs, where one reads what another has not written to its end."""


def devices_of(count):
    """So many devices of one CPU."""
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


def environment(size, devices=1):
    """The variables of each of so many processes, with so many devices each."""
    own = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": str(size)}
    return lambda rank: ALONE | own | {"JAX_PROCESS_ID": str(rank)} | devices_of(devices)
