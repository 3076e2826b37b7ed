"""A row's arrays as tensors on its device, and the wait for results there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from conformance.speed.row import Row

__all__ = ["placed", "wait"]


def placed(row: Row, array: Any) -> torch.Tensor:
    """An array on the row's device."""
    return torch.from_numpy(array).to(row.device)


def wait(results: Iterable[torch.Tensor]) -> None:
    """Wait for a call's results, as for a backend's, by reading the smallest, which a device computes last."""
    min(results, key=torch.Tensor.numel).numpy(force=True)
