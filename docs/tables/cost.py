"""Tables of what several workers cost on paper, and of how near that is to what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import number, table

from rnnspec.workers.cost import Link, gain, handed_on, ring, sent_on, vector

__all__ = ["LINKS", "QUICK", "WORKERS", "gains", "tables"]

LINKS = {"1 Gbit/s": Link(1e9 / 8, 50e-6), "10 Gbit/s": Link(10e9 / 8, 20e-6), "100 Gbit/s": Link(100e9 / 8, 5e-6)}
WORKERS = (8, 64, 512)
QUICK = 100


def tables(data: Any) -> Iterator[str]:
    """What was measured beside the model, and then what the model says of larger groups."""
    for part in (sums, steps, rows, windows):
        yield from part(data)
        yield ""


def sums(data: Any) -> Iterator[str]:
    yield "Sums of one vector on workers of this machine, over a loopback of 1 Gbit/s that all of them share:"
    yield ""
    head = ("engine", "workers", "vector, kB", "bytes sent / on paper", "ms", "ms on paper", "ms / on paper")
    yield from table(head, ((group["engine"], group["workers"], f"{row['elements'] * 4e-3:,.0f}",
                             f"{row['sent'] / row['sent_on_paper']:.3f}", f"{1e3 * row['seconds']:.2f}",
                             f"{1e3 * row['seconds_on_paper']:.2f}",
                             "fitted" if row["fitted"] else number(row["seconds"] / row["seconds_on_paper"]))
                            for group in data["groups"] for row in group["sums"]))  # fmt: skip


def steps(data: Any) -> Iterator[str]:
    yield "The links that were fitted, and a step of an LSTM of 256 units on them, which was not:"
    yield ""
    head = ("engine", "workers", "Mbit/s, all together", "µs a message", "ms of a worker's own step", "ms of the step",
            "ms on paper", "ms / on paper")  # fmt: skip
    yield from table(head, ((group["engine"], group["workers"], f"{8e-6 * group['bandwidth'] * group['workers']:,.0f}",
                             f"{1e6 * group['latency']:.0f}", *(f"{1e3 * group['step'][key]:.1f}" for key in
                             ("local", "together", "on_paper")),
                             number(group["step"]["together"] / group["step"]["on_paper"]))
                            for group in data["groups"]))  # fmt: skip


def rows(data: Any) -> Iterator[str]:
    yield f"How many times the rows of one worker 8, 64 and 512 workers do, each with {data['rows']} rows of " \
          f"{data['steps']} steps, by sums around a ring:"  # fmt: skip
    yield ""
    head = ("network", "parameters", "seconds of a worker's own step", *LINKS)
    yield from table(head, ((net["name"], f"{net['parameters']:,}", f"{local:.2g}",
                             *(" / ".join(f"{found:.3g}" for found in gains(net, local, link))
                               for link in LINKS.values()))
                            for net in data["networks"] for local in (net["local"], net["local"] / QUICK)))  # fmt: skip


def gains(net: Any, local: float, link: Link) -> list[float]:
    """What so many workers gain, of which each takes `local` seconds for its own step."""
    return [gain(size, local, link.seconds(ring(vector(net["parameters"], size), size))) for size in WORKERS]


def windows(data: Any) -> Iterator[str]:
    link = LINKS["10 Gbit/s"]
    yield f"Milliseconds to hand on the states of {data['rows']} rows through windows of time, and their cotangents " \
          "back, at 10 Gbit/s: by sums around a ring / from each worker to the next alone:"  # fmt: skip
    yield ""
    yield from table(("network", "kB of states", *(f"{size} windows" for size in WORKERS)),
                     ((net["name"], f"{1e-3 * sum(net['states']):,.0f}",
                       *(" / ".join(f"{1e3 * link.seconds(moved):,.1f}" for moved in
                                    (handed_on([sum(net["states"])], size), sent_on([sum(net["states"])], size)))
                         for size in WORKERS)) for net in data["networks"]))  # fmt: skip
