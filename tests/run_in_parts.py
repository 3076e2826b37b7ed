"""Runs of parts in this process: the worker's own sittings, with any backend, and the ledger that hears them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from conformance.findings.report import report
from conformance.joining.origin import Origin
from conformance.joining.parts import PartReport, check
from conformance.joining.report import joined
from conformance.part import Part
from conformance.processes.deadline import Deadline
from conformance.running.ledger import Ledger
from conformance.running.worker import Sitting, hold

COSTS = ("seconds", "processor_seconds", "peak_memory", "programs_compiled")


class Heard:
    """A channel that a ledger hears at once, as after the way through JSON, and that counts the cases."""

    def __init__(self, ledger):
        self.ledger, self.cases = ledger, []

    def tell(self, event, **facts):
        message = json.loads(json.dumps({"event": event, **facts}))
        if event == "case":
            self.cases.append((message["law"], message["label"], message["code"]))
        self.ledger.hear(message)


def run(backends, selection, deadline=None, **asked):
    """The document of one run, or of one part, of backends of one name; and the cases that were tested."""
    limit, precisions = deadline or Deadline(), [backend.precision for backend in backends]
    failed, entries, cases = selection.failed.get(backends[0].name, {}), [], []
    for place, backend in enumerate(backends):
        channel = Heard(Ledger(backend.name, selection, limit, precisions, place))
        hold(Sitting(channel, backend, selection, precisions, failed), selection, failed, limit)
        entries.append(channel.ledger.entry)
        cases += channel.cases
    origin = Origin.here(selection, **{"names": [backends[0].name], "named": [backends[0].name], "speed": False,
                                       "correctness": True, "require_speed": False, **asked})  # fmt: skip
    part = {"part": origin} if selection.part else {}
    return report(entries, selection.seed, selection.tier, 1.0, **part), cases


def parts(make, selection, of):
    """The documents and cases of all parts, each with new backends."""
    return [run(make(), replace(selection, part=Part(number, of))) for number in range(1, 1 + of)]


def reports(documents):
    """Documents as they are read from files, in the order of the parts."""
    read = [json.loads(json.dumps(document)) for document in documents]
    found = [PartReport(Path(f"{document['part']['number']}.json"), document, Origin(**document["part"]))
             for document in read]  # fmt: skip
    check(found)
    return found


def together(documents):
    """The report that these make."""
    return joined(reports(documents))


def says(document):
    """What a report says, without what the run cost."""
    plain = {name: value for name, value in document.items() if name not in ("seconds", "part", "parts")}
    plain["backends"] = [{name: value for name, value in entry.items() if name not in (*COSTS, "whole", "batches")}
                         for entry in document["backends"]]  # fmt: skip
    return json.loads(json.dumps(plain))
