"""The process of one backend: it tests every law in every precision, and sends a message for each.

`python -m conformance.running.worker` starts it. It reads one message with the name of the backend and the selection.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

from conformance import modules
from conformance.processes.channel import Channel, refusals
from conformance.running.examination import Examination
from conformance.running.reproducer import code, reproducer
from conformance.selection import Selection
from conformance.tolerance import PROFILES, effective_unit
from rnnspec import Backend, errors, get_backend

DEFAULT_PRECISIONS = ("f32", "f64")


def main() -> None:
    """Test the backend that the first message names."""
    channel = Channel()
    job = next(channel.hear())
    selection = Selection.from_json(job["selection"])
    with refusals(channel):
        backends = subjects(job["name"], selection)
        for part, backend in enumerate(backends):
            judge(channel, backend, selection, (part, len(backends)))
        channel.tell("done", entries=len(backends))


def subjects(name: str, selection: Selection) -> list[Backend]:
    """The backend in each selected precision, or in f32 and f64 where it declares them.

    Raises an RnnSpecError where it declares none of them.
    """
    found: list[Backend] = []
    refused: list[errors.UnsupportedError] = []
    wanted = selection.precisions or DEFAULT_PRECISIONS
    for precision in wanted:
        try:
            found.append(opened(name, selection, precision))
        except errors.UnsupportedError as error:
            if selection.precisions:
                raise
            refused.append(error)
    if len(refused) == len(wanted):
        raise refused[0]
    return found


def opened(name: str, selection: Selection, precision: str) -> Backend:
    """The backend of a name, or of a module."""
    if modules.is_module(name):
        return modules.load(name, selection.as_cell, precision, selection.lacks, selection.device)
    return get_backend(name, device=selection.device, precision=precision)


def judge(channel: Channel, backend: Backend, selection: Selection, share: tuple[int, int]) -> None:
    """Test one backend in one precision; `share` is its part of the shared labels, and the number of parts."""
    laws, begun = selection.laws(), time.perf_counter()
    channel.tell("entry", precision=backend.precision, device=str(backend.device), version=str(backend.version),
                 expected=len(laws), losses=getattr(backend, "notes", ()))  # fmt: skip

    def announce(law: str, label: str, case: Any) -> None:
        channel.tell("case", law=law, label=label, code=reproducer(law, backend, code(case)))

    scope = replace(selection.scope(backend.capabilities), share=share)
    examination = Examination(backend, scope, selection.seed, selection.examples_each,
                              selection.depth.labels, announce)  # fmt: skip
    for law in laws:
        channel.tell("law", law=law.id)
        finding = examination.judge(law, selection.xfails.get(law.id))
        channel.tell("finding", finding=finding.as_dict())
    channel.tell(
        "judged", seconds=time.perf_counter() - begun, programs_compiled=_programs(backend),
        effective_u=effective_unit(PROFILES[backend.precision], examination.kappas) if examination.kappas else 0.0,
    )  # fmt: skip


def _programs(backend: Backend) -> int:
    """The number of compiled programs, those of backends from `through` included."""
    counts = [getattr(one, "programs_compiled", 0) for one in (backend, *backend.held.values())]
    for count in counts:
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise errors.BrokenBackend(f"{backend.name}.programs_compiled",
                                       "programs_compiled must be a whole number of at least 0",
                                       repr(count), "count the programs, or leave the attribute out")  # fmt: skip
    return sum(counts)


if __name__ == "__main__":
    main()
    sys.exit(0)
