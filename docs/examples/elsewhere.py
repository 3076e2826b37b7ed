"""A saved network on another backend: whether it answers there as it did here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec


def check(
    name: str, path: Path, expected: np.ndarray, logits: Callable[[rnnspec.Backend, rnnspec.Network, Any], np.ndarray]
) -> dict[str, Any]:
    """Load a network, take its logits (count, class) on another backend, and compare with those expected."""
    found = logits(rnnspec.get_backend(name), *rnnspec.load(path))
    same = int((found.argmax(-1) == expected.argmax(-1)).sum())
    return {"backend": name, "same_answers": same, "of": len(expected),
            "largest_difference": float(np.abs(found - expected).max())}  # fmt: skip


def said(found: dict[str, Any]) -> str:
    return ("loaded on {backend}: {same_answers} of {of} answers the same, largest difference {largest_difference:.1e}"
            .format(**found))  # fmt: skip


def is_same(found: dict[str, Any]) -> bool:
    return found["same_answers"] == found["of"]
