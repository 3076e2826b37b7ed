"""What the process of one backend has reported: one entry for each precision, and where the process is.

The ledger knows which properties run, in which order, and how many; it takes none of this from the process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from conformance.findings.entry import Entry
from conformance.findings.finding import NOT_APPLICABLE, Finding
from conformance.processes.process import Ended, Garbled
from conformance.selection import Selection
from conformance.statements import Statement

__all__ = ["LAST", "Ledger"]

LAST = ("done", "unavailable", "broken")
"""The messages that end the work."""


@dataclass
class Ledger:
    """The entries of a backend, filled message by message."""

    name: str
    selection: Selection
    entries: list[Entry] = field(default_factory=list)
    left: list[Statement] = field(default_factory=list)
    law: Statement | None = None
    code: str = ""
    judged: int = 0

    def hear(self, message: dict[str, Any]) -> None:
        """One message. Raises Garbled for one that the suite does not send there."""
        try:
            self._hear(message)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Garbled("its process sent what the suite does not send: "
                          f"{message['event']} ({type(error).__name__}: {error})") from error  # fmt: skip

    def end(self, end: Ended) -> None:
        """The process ended before its work was done: the property that it was testing is an error."""
        self._open().end(end.status, str(end), self.law, self.code)

    def _hear(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "entry":
                self._begin(message)
            case "law":
                self.law, self.code = self.left[0], ""
            case "case":
                self.code = str(message["code"])
            case "finding":
                self._add(message)
            case "judged":
                self._close(message)
            case "done":
                if self.judged != len(self.entries) or not self.entries:
                    raise ValueError("not every property ran")
            case "broken":
                self._open().end("fails", message["why"])
            case "unavailable":
                self._open().end("unavailable", message["why"])

    def _begin(self, message: dict[str, Any]) -> None:
        if self.judged != len(self.entries):
            raise ValueError("the entry before is not complete")
        self.left = [law.statement for law in self.selection.laws()]
        if message["expected"] != len(self.left):
            raise ValueError(f"{message['expected']} properties instead of {len(self.left)}")
        entry = Entry(self.name, str(message["version"]), device=str(message["device"]))
        entry.precision = str(message["precision"])
        entry.counts["expected"], entry.losses = len(self.left), list(map(str, message["losses"]))
        self.entries.append(entry)

    def _add(self, message: dict[str, Any]) -> None:
        finding = Finding(**message["finding"])
        if finding.id != self.left.pop(0).id:
            raise ValueError(f"a finding of {finding.id}")
        self.law = None
        self.entries[-1].add(finding.as_dict(), finding.status != NOT_APPLICABLE)

    def _close(self, message: dict[str, Any]) -> None:
        if self.left:
            raise ValueError(f"{len(self.left)} properties did not run")
        entry = self.entries[-1]
        entry.seconds, entry.programs_compiled = float(message["seconds"]), int(message["programs_compiled"])
        entry.effective_u = float(message["effective_u"])
        self.judged = len(self.entries)

    def _open(self) -> Entry:
        """The entry that is not yet judged, or a new one."""
        if len(self.entries) == self.judged:
            self.entries.append(Entry(self.name, precision=",".join(self.selection.precisions)))
        return self.entries[-1]
