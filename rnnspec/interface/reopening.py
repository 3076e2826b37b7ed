"""Pickling and copying of backends: a pickle holds the settings, from which a new backend is opened.

Arrays, programs, pools and locks belong to a process, so that another process must make its own.
"""

from __future__ import annotations

from typing import Any

import rnnspec
from rnnspec.contract.kernel import Path
from rnnspec.errors import RnnSpecError

__all__ = ["opener", "reopened"]


def opener(kind: type[Any], name: str, device: str, precision: str) -> str | type[Any]:
    """The name by which `get_backend` opens a class; the class itself where `get_backend` does not find it."""
    try:
        found = rnnspec.get_backend(name, device=device, precision=precision)
    except RnnSpecError:
        return kind
    return name if type(found) is kind else kind


def reopened(
    opener: str | type[Any], device: str, precision: str, path: Path | None, recomputes: bool, every: int | None,
    chunk: int | None = None,
) -> Any:
    """The backend of these settings; raises as `get_backend` where it is opened by name."""
    if isinstance(opener, str):
        opened = rnnspec.get_backend(opener, device=device, precision=precision)
    else:
        opened = opener(device, precision)
    held = opened if path is None else opened.through(path)
    held = held if chunk is None else held.chunking(chunk)
    return held.recomputing(every) if recomputes else held
