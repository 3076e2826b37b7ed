"""A cell by hand in PyTorch with a compiled step; a compiled loop would be unrolled anew for every length."""

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance.speed.peers.by_hand import by_hand
from conformance.speed.peers.torch_loop_peer import prepared
from conformance.speed.row import Row

__all__ = ["make"]


def make(row: Row) -> Callable[[int], None]:
    """The loop around the compiled step."""
    return prepared(row, torch.compile(by_hand(row).step, dynamic=False))
