"""The process of one contestant: it prepares a row, and times a call on request.

`python -m conformance.speed.contestant` starts it. Its threads sleep while others are timed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from conformance.processes.channel import Channel, refusals
from conformance.registry import Shape
from conformance.speed.floor import Floor, products
from conformance.speed.row import Row
from conformance.speed.sampling import Timed
from conformance.speed.subject import Subject
from rnnspec import Backend, get_backend

__all__ = ["main"]


def main() -> None:
    """Serve one contestant: a backend with its floor, or a peer."""
    channel = Channel()
    messages = channel.hear()
    given = next(messages)
    with refusals(channel):
        prepare, itself = {"backend": _backend, "peer": _peer}[given["side"]](given)
        channel.tell("here", **itself)
    timed: dict[str, Timed] = {}
    for message in messages:
        with refusals(channel):
            if "row" in message:
                row = Row(**{**message["row"], "shape": Shape(**message["row"]["shape"])})
                calls, about = prepare(row)
                timed = {who: Timed(call) for who, call in calls.items()}
                channel.tell("ready", compile_s={who: t.compile_seconds for who, t in timed.items()}, **about())
            else:
                channel.tell("time", seconds=timed[message["sample"]].sample())


Ready = tuple[dict[str, Callable[[int], None]], Callable[[], dict[str, Any]]]
Prepare = Callable[[Row], Ready]


def _backend(given: dict[str, Any]) -> tuple[Prepare, dict[str, str]]:
    backend: Backend = get_backend(given["name"], device=given["device"], precision=given["precision"])

    def prepare(row: Row) -> Ready:
        layer = row.network.layers[0]
        floor = Floor(products(row.declared, row.shape, layer.widths_given, row.mode), row.precision)
        subject = Subject(backend, row)

        def about() -> dict[str, Any]:
            return {"path": subject.path(), "budgets": _budgets(backend, row)}

        return {"subject": subject.call, "floor": lambda _: floor()}, about

    return prepare, {"version": str(backend.version), "device": backend.device}


def _peer(given: dict[str, Any]) -> tuple[Prepare, dict[str, str]]:
    make = importlib.import_module(given["module"]).make

    def prepare(row: Row) -> Ready:
        return {"peer": make(row)}, dict

    return prepare, {}


def _budgets(backend: Backend, row: Row) -> dict[str, float]:
    """The backend's smallest budget for each peer."""
    found: dict[str, float] = {}
    for budget in backend.capabilities.budgets:
        if budget.covers(row.declared, row.mode, row.shape.batch, row.shape.hidden):
            found[budget.peer] = min(budget.ratio, found.get(budget.peer, budget.ratio))
    return found


if __name__ == "__main__":
    main()
