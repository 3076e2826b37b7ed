"""The calls before a failing case without which it passes: a fault of a second call, or of what a call left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.judge import IllPosed, Judge, NotApplicable
from conformance.modules import ModuleBackend
from conformance.properties.asking import is_eager
from conformance.registry import Property
from rnnspec import Backend, backend_names, get_backend

__all__ = ["Asked", "fails_after", "replayed"]

Asked = tuple[str, Any]
"""The id of a law and a case of it that was tested."""


def fails_after(law: Property, case: Any, backend: Backend, earlier: Sequence[Asked],
                laws: Mapping[str, Property]) -> list[Asked] | None:  # fmt: skip
    """The earlier cases after which a new backend fails the case: as few of the last ones as a doubling search finds.

    None are needed for most faults, and for a backend that cannot be made anew. None is returned where no number of
    them is enough.
    """
    count = 0
    while True:
        new = _anew(backend)
        if new is None:
            return []
        after = list(earlier[len(earlier) - count :])
        replayed(new, after, laws)
        if _fails(law, case, new):
            return after
        if count >= len(earlier):
            return None
        count = min(len(earlier), max(1, 2 * count))


def replayed(backend: Backend, cases: Sequence[Asked], laws: Mapping[str, Property]) -> None:
    """Test cases for what they leave behind; whether they pass does not matter."""
    for id, case in cases:
        _fails(laws[id], case, backend)


def _fails(law: Property, case: Any, backend: Backend) -> bool:
    try:
        law(backend, case, Judge(backend))
    except (NotApplicable, IllPosed):
        return False
    except Exception:
        return True
    return False


def _anew(backend: Backend) -> Backend | None:
    """A new backend of the same kind, or None where it cannot be made, or compiles anew what it runs."""
    if not is_eager(backend):
        return None
    if isinstance(backend, ModuleBackend):
        return ModuleBackend(backend.source, backend.cell_name, backend.precision, backend.device)
    if backend.name not in backend_names():
        return None
    new = get_backend(backend.name, device=backend.device, precision=backend.precision)
    return new if type(new) is type(backend) and new is not backend else None
