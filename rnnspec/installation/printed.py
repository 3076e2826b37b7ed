"""Openings and diagnoses as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnnspec.installation.diagnosis import Diagnosis
from rnnspec.installation.opening import Opening

__all__ = ["backend", "diagnosed"]


def backend(opening: Opening) -> Iterator[str]:
    """The lines of one backend."""
    if fault := opening.fault:
        yield f"{opening.name}: does not open: {fault.says}"
        yield f"  {fault.do}"
        return
    yield f"{opening.name} {opening.version}, from {opening.distribution}"
    for device, precisions in opening.precisions.items():
        yield f"  {device}: {_listed(precisions)}"
    for device, why in opening.missing.items():
        yield f"  {device}: not available, {why}"
    yield f"  cells on a native kernel: {_listed(opening.native)}"
    if opening.on_request:
        yield f"  through(Path.NATIVE) also: {_listed(opening.on_request)}"


def diagnosed(found: Diagnosis) -> Iterator[str]:
    """The lines of a diagnosis."""
    for number, fault in enumerate(found.faults, 1):
        yield f"fault {number}: {fault.about}: {fault.says}"
        yield f"  {fault.do}"
    for extra in found.absent:
        yield f"not installed: {extra.name}"
        yield f"  {extra.command}"
    yield f"backends that open: {_listed(found.healthy)}"
    yield f"faults: {len(found.faults) or 'none'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
