"""One backend, opened in a process of its own: what it is and what it can do, or what is wrong with it.

A framework may write to standard output while it is imported, clash with another framework, or end the process. In a
process of its own it disturbs no other backend.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from rnnspec import cells
from rnnspec.contract.kernel import Call, Path
from rnnspec.errors import BrokenBackend, RnnSpecError
from rnnspec.installation.fault import Fault
from rnnspec.interface.backend import Backend
from rnnspec.interface.plugins import distribution, get_backend, mending
from rnnspec.tracing.cell import Cell

__all__ = ["Opening", "opened"]

PATIENCE = 300.0
"""Seconds in which a backend must open."""

TYPICAL = Call("layers[0].forward", None, pullback=True, steps=128, batch=32, inputs=128, ragged=False)
"""The layer for which a backend is asked whether it has a kernel."""


@dataclass(frozen=True)
class Opening:
    """A backend as this installation has it.

    `version` is its framework's. `precisions` are those that open on each device, `missing` the devices that it
    declares and this machine lacks, each with the reason. `native` are the cells of rnnspec that run on a kernel of the
    framework in the first precision, `on_request` those that do so only through `Path.NATIVE`. Where there is a
    `fault`, nothing else is known.
    """

    name: str
    distribution: str = ""
    version: str = ""
    precisions: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    native: list[str] = field(default_factory=list)
    on_request: list[str] = field(default_factory=list)
    fault: Fault | None = None


def opened(name: str) -> Opening:
    """Open a backend in another process, and say what there is."""
    command = [sys.executable, "-m", __name__, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return _ended(name, f"none within {PATIENCE:.0f} s")
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:]
        return _ended(name, ", ".join([f"a process that ended with status {done.returncode}", *last]))
    fault = found.pop("fault")
    return Opening(**found, fault=Fault(**fault) if fault else None)


def opening(name: str) -> Opening:
    """Open a backend in this process."""
    try:
        backend = get_backend(name)
        precisions, missing = _devices(backend)
        native, on_request = _kernels(backend)
        return Opening(name, distribution(name), str(backend.version), precisions, missing, native, on_request)
    except RnnSpecError as error:
        return Opening(name, fault=Fault.of(error))
    except Exception as error:
        told = BrokenBackend(f"get_backend({name!r})", "the backend must say what it can do",
                             f"{type(error).__name__}: {error}", mending(name))  # fmt: skip
        return Opening(name, fault=Fault.of(told))


def _devices(backend: Backend) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The precisions that open on each device, and why no precision opens on the others."""
    precisions: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    for device in backend.capabilities.devices:
        for precision in backend.capabilities.precisions:
            try:
                get_backend(backend.name, device=device, precision=precision)
            except RnnSpecError as error:
                missing.setdefault(device, error.got)
            else:
                precisions.setdefault(device, []).append(precision)
    return precisions, {device: why for device, why in missing.items() if device not in precisions}


def _kernels(backend: Backend) -> tuple[list[str], list[str]]:
    """The cells that run on a kernel unasked, and those that do so on request."""
    able = backend.capabilities
    listed = [value for value in vars(cells).values() if isinstance(value, Cell) and value in (able.cells or [value])]
    held = backend.through(Path.NATIVE) if Path.NATIVE in able.paths else backend
    native = [cell.name for cell in listed if not isinstance(backend.native(cell, TYPICAL), str)]
    every = [cell.name for cell in listed if not isinstance(held.native(cell, TYPICAL), str)]
    return native, [name for name in every if name not in native]


def _ended(name: str, got: str) -> Opening:
    told = BrokenBackend(f"get_backend({name!r})", "opening the backend must give one", got, mending(name))
    return Opening(name, fault=Fault.of(told))


def _answer(found: Any, descriptor: int) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as answer:
        json.dump(asdict(found), answer)


if __name__ == "__main__":
    output = os.dup(1)
    os.dup2(2, 1)  # what a framework writes is no part of the answer
    _answer(opening(sys.argv[1]), output)
