"""Tables of windows of time on two processes: seconds and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import number, table

__all__ = ["time_tables"]


def time_tables(data: Any) -> Iterator[str]:
    """One process over two, so that above 1 two are quicker; and the peak of each."""
    shape, long = data["shape"], data["long"]
    yield (f"Seconds of one process over those of two, each with one thread: {shape['layers']} layers of "
           f"{shape['width']} units, {shape['steps']:,} steps, {shape['rows']} rows, the shortest of {shape['rounds']} "
           f"rounds. Above 1, two processes are quicker. The machine has {data['processors']} processors, and had a "
           f"load of {data['load']:.1f} from other work, which the clock contains. The seconds of the processor are "
           "those of the slower process between each exchange and the next: what two processes take that have a "
           "processor each, without exchanges.")  # fmt: skip
    yield ""
    yield from table(("cell", "run as", "forward, clock", "with gradients, clock", "forward, processor",
                      "with gradients, processor"),
                     ((f"`{row['cell']}`", f"`{row['kind']}`",
                       *(number(row[part][f"one{by}"] / row[part][f"two{by}"]) for by in ("", "_processor")
                         for part in ("run", "gradients")))
                      for row in data["speed"]))  # fmt: skip
    yield ""
    yield (f"Memory that a loss and its gradients add to a process, in megabytes: one layer of {long['width']} units, "
           f"{long['steps']:,} steps, {long['rows']} rows.")  # fmt: skip
    yield ""
    yield from table(("cell", "run as", "one process", "each of two"),
                     ((f"`{row['cell']}`", f"`{row['kind']}`", _megabytes(row["one"]),
                       ", ".join(map(_megabytes, row["two"]))) for row in data["memory"]))  # fmt: skip


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f}"
