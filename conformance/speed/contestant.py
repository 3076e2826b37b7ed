"""The process of one contestant: it prepares a row, and times a call on request.

`python -m conformance.speed.contestant` starts it. Its threads sleep while others are timed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from conformance.processes.channel import Channel, refusals
from conformance.registry import Shape
from conformance.speed.floor import Floor, products
from conformance.speed.row import Row
from conformance.speed.sampling import Timed
from conformance.speed.subject import Subject
from rnnspec import Backend, get_backend
from rnnspec.contract.choice import Choice

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
            if "sample" not in message:
                calls, about = prepare(message)
                timed = {who: Timed(call) for who, call in calls.items()}
                channel.tell("ready", compile_s={who: t.compile_seconds for who, t in timed.items()}, **about())
            else:
                channel.tell("time", seconds=timed[message["sample"]].sample())


Ready = tuple[dict[str, Callable[[int], None]], Callable[[], dict[str, Any]]]
Prepare = Callable[[dict[str, Any]], Ready]


def _row(message: dict[str, Any]) -> Row:
    return Row(**{**message["row"], "shape": Shape(**message["row"]["shape"])})


def _choice(choice: Choice[Any]) -> Ready:
    """The calls of a choice: the option that is taken, twice, and every other one by its name."""
    taken = choice.taken
    call = choice.call(choice.options[taken])
    calls = {"subject": call, "again": call}
    calls |= {name: choice.call(option) for name, option in choice.options.items() if name != taken}
    about = {"name": choice.name, "question": choice.question, "taken": taken, "samples": list(calls)}
    return {name: partial(_called, call) for name, call in calls.items()}, lambda: about


def _called(call: Callable[[], object], _: int) -> None:
    call()


def _backend(given: dict[str, Any]) -> tuple[Prepare, dict[str, Any]]:
    backend: Backend = get_backend(given["name"], device=given["device"], precision=given["precision"])

    def prepare(message: dict[str, Any]) -> Ready:
        if "choice" in message:
            return _choice(backend.choices[message["choice"]])
        row = _row(message)
        layer = row.network.layers[0]
        floor = Floor(products(row.declared, row.shape, layer.widths_given, row.mode), row.precision)
        subject = Subject(backend, row)

        def about() -> dict[str, Any]:
            return {"path": subject.path(), "budgets": _budgets(backend, row)}

        return {"subject": subject.call, "floor": lambda _: floor()}, about

    about = {"version": str(backend.version), "device": backend.device, "choices": len(backend.choices)}
    return prepare, about


def _peer(given: dict[str, Any]) -> tuple[Prepare, dict[str, Any]]:
    make = importlib.import_module(given["module"]).make

    def prepare(message: dict[str, Any]) -> Ready:
        return {"peer": make(_row(message))}, dict

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
