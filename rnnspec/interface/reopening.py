"""How a backend is pickled and copied: as its settings, from which it is opened anew.

Its arrays, programs, pools and locks belong to a process; another one makes its own.
"""

from __future__ import annotations

from typing import Any

import rnnspec
from rnnspec.contract.kernel import Path
from rnnspec.errors import RnnSpecError

__all__ = ["opener", "reopened"]


def opener(kind: type[Any], name: str, device: str, precision: str) -> str | type[Any]:
    """The name by which `get_backend` opens a class, or the class itself where it does not."""
    try:
        found = rnnspec.get_backend(name, device=device, precision=precision)
    except RnnSpecError:
        return kind
    return name if type(found) is kind else kind


def reopened(
    opener: str | type[Any], device: str, precision: str, path: Path | None, recomputes: bool, every: int | None
) -> Any:
    """The backend of these settings. Raises what `get_backend` raises, where a name is given."""
    if isinstance(opener, str):
        opened = rnnspec.get_backend(opener, device=device, precision=precision)
    else:
        opened = opener(device, precision)
    held = opened if path is None else opened.through(path)
    return held.recomputing(every) if recomputes else held
