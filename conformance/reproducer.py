"""Code that fails when pasted, and the function that it calls."""

from __future__ import annotations

from typing import Any

from conformance.judge import Judge
from conformance.registry import properties
from rnnspec import Backend, get_backend

__all__ = ["code", "reproduce", "reproducer"]


def reproducer(law: str, backend: Backend, case: str) -> str:
    """Python that judges one case again; `case` is the code that assigns it."""
    where = f"{backend.name!r}, precision={backend.precision!r}, device={backend.device!r}"
    return f"import conformance\n{case.rstrip()}\nconformance.reproduce({law!r}, case, {where})\n"


def code(case: Any) -> str:
    """The lines that assign a case to `case`."""
    return str(case.code()) if hasattr(case, "code") else f"case = {case!r}"


def reproduce(law: str, case: Any, name: str, precision: str = "f32", device: str | None = None) -> None:
    """Judge one case of one property again. Raises Failure, with the evidence, where the property does not hold."""
    found = {p.id: p for p in properties()}
    if law not in found:
        raise LookupError(f"reproduce({law!r}, ...): the id must be a property's; `python -m conformance --list`")
    backend = get_backend(name, device=device, precision=precision)
    found[law](backend, case, Judge(backend))
