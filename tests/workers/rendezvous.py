"""Where the workers of `torch.distributed` find one another: the variables that torchrun sets too."""

from __future__ import annotations

from tests.workers.launching import Environment, free_port


def rendezvous(size: int) -> Environment:
    """The environment of each of `size` workers on this machine; rank 0 keeps the store."""
    port = free_port()

    def environment(rank: int) -> dict[str, str]:
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size),
                "RNNSPEC_CALIBRATION": "off"}  # fmt: skip

    return environment
