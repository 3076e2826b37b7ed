"""How a backend is pickled and copied: as its settings, from which it is opened anew.

Its arrays, programs, pools and locks belong to a process; another one makes its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnspec.errors import RnnSpecError

if TYPE_CHECKING:
    from rnnspec.contract.kernel import Path
    from rnnspec.interface.backend import Backend

__all__ = ["reduced", "reopened"]


def reduced(backend: Backend) -> tuple[Any, ...]:
    """What `__reduce__` gives: a backend is named where `get_backend` finds it, and else its class is."""
    opener = backend.name if _is_found(backend) else type(backend)
    settings = backend.device, backend.precision, backend.path, backend.recomputes, backend.every
    return reopened, (opener, *settings)


def reopened(
    opener: str | type[Backend], device: str, precision: str, path: Path | None, recomputes: bool, every: int | None
) -> Backend:
    """The backend of these settings. Raises what `get_backend` raises, where a name is given."""
    from rnnspec.interface.plugins import get_backend  # noqa: PLC0415  # which needs the contract to be there

    if isinstance(opener, str):
        opened = get_backend(opener, device=device, precision=precision)
    else:
        opened = opener(device, precision)
    held = opened if path is None else opened.through(path)
    return held.recomputing(every) if recomputes else held


def _is_found(backend: Backend) -> bool:
    from rnnspec.interface.plugins import get_backend  # noqa: PLC0415

    try:
        found = get_backend(backend.name, device=backend.device, precision=backend.precision)
    except RnnSpecError:
        return False
    return type(found) is type(backend)
