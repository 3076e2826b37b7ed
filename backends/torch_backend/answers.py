"""Who still answers after an exchange of a process group failed; the workers tell one another in the group's store."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import Any

import torch
from torch import distributed

__all__ = ["PATIENCE", "missing"]

PATIENCE = 5.0
"""Seconds that a worker waits for the others to say that they are there."""
PAUSE = 0.05
"""Seconds between two looks."""
MOMENT = timedelta(milliseconds=1)
TAG = 4096
"""The tag of a message that nobody sends."""


def missing(group: Any, device: str) -> list[int]:
    """The ranks that do not say within `PATIENCE` that they are there; none where nobody can tell.

    Every worker whose exchange failed must call it.
    """
    _released(group, device)
    seen = set[int]()
    given = group.get_group_store(), group.rank(), group.size(), seen
    asking = Thread(target=_ask, args=given, daemon=True)  # the store may be that of a process that hangs
    asking.start()
    asking.join(PATIENCE + 2 * PAUSE)
    return [rank for rank in range(group.size()) if rank not in seen] if seen else _keeper(group)


def _released(group: Any, device: str) -> None:
    """Let the exchange fail for those who wait for this worker, and not for the one that is gone."""
    if f"{torch.device(device).type}:gloo" not in distributed.get_backend_config(group):
        with suppress(RuntimeError):
            group.abort()
        return
    for rank in range(group.size()):
        if rank != group.rank():
            with suppress(RuntimeError):  # gloo closes all connections where one wait runs out
                group.recv([torch.empty(1)], rank, TAG).wait(MOMENT)


def _ask(store: Any, rank: int, size: int, seen: set[int]) -> None:
    """Say that this worker is there, and note who else does; the connection to the store may break at any time."""
    until = time.monotonic() + PATIENCE
    with suppress(RuntimeError):
        store.set(f"rnnspec/answers/{rank}", "")
        while len(seen) < size and time.monotonic() < until:
            seen.update(r for r in range(size) if r not in seen and store.check([f"rnnspec/answers/{r}"]))
            time.sleep(PAUSE)


def _keeper(group: Any) -> list[int]:
    """The rank that keeps the store, where a worker does: torchrun keeps it outside of the workers."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return []
    with suppress(ValueError, RuntimeError):
        return [distributed.get_group_rank(group, 0)]
    return []
