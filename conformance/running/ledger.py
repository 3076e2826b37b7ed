"""What the processes of a backend in one precision have reported: its entry, and where the process is.

The ledger knows which properties run, how many, and until when; it takes none of this from the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from conformance.findings.entry import Entry
from conformance.findings.finding import NOT_APPLICABLE, Finding
from conformance.processes.deadline import OVER, Deadline
from conformance.processes.process import Ended, Garbled
from conformance.selection import Selection
from conformance.statements import Statement

__all__ = ["LAST", "Ledger"]

LAST = ("done", "handover", "unavailable", "broken")
"""The messages that end the work of a process; after `handover` another goes on."""


@dataclass
class Page:
    """An entry that is being filled: the laws of which nothing is known yet, and what is known of the others."""

    entry: Entry
    left: dict[str, Statement]
    found: dict[str, Finding] = field(default_factory=dict)

    def close(self) -> None:
        """Put the findings into the entry, by id; of a law that was not asked, that it was not."""
        rest = {id: Finding.of(law, "not_asked", why=OVER) for id, law in self.left.items()}
        for id in sorted(self.found | rest):
            finding = (self.found | rest)[id]
            self.entry.add(finding.as_dict(), finding.status != NOT_APPLICABLE)
        self.entry.close()

    def end(self, status: str, why: str, law: Statement | None, code: str) -> None:
        """The process ended: what is known stays, and the law that it was testing is an error."""
        self.entry.batches.pop(law.id if law else "", None)
        for id in sorted(self.found.keys() - ({law.id} if law else set())):
            self.entry.add(self.found[id].as_dict(), self.found[id].status != NOT_APPLICABLE)
        self.entry.end(status, why, law, code)


@dataclass
class Ledger:
    """The page of a backend in one precision, filled message by message; only after the deadline may a law remain
    unasked. `precisions` are those of the backend, which its first process tells. `record` is what a process that has
    grown leaves to the one that takes over, until that one begins.
    """

    name: str
    selection: Selection
    deadline: Deadline = field(default_factory=Deadline)
    precisions: Sequence[str] = ()
    place: int = 0
    page: Page | None = None
    law: Statement | None = None
    code: str = ""
    judged: bool = False
    record: dict[str, Any] | None = None

    @property
    def entry(self) -> Entry:
        """That of the page, or an empty one."""
        known = [self.precisions[self.place]] if self.precisions else self.selection.precisions
        return self.page.entry if self.page else Entry(self.name, precision=",".join(known))

    @cached_property
    def _statements(self) -> dict[str, Statement]:
        """Those of the selected laws, by id."""
        return {law.id: law.statement for law in self.selection.laws()}

    def hear(self, message: dict[str, Any]) -> None:
        """One message. Raises Garbled for one that the suite does not send there."""
        try:
            self._hear(message)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Garbled("its process sent what the suite does not send: "
                          f"{message['event']} ({type(error).__name__}: {error})") from error  # fmt: skip

    def end(self, end: Ended) -> None:
        """The process ended before its work was done: the property that it was testing is an error."""
        self._end(end.status, str(end))

    def _hear(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "entry":
                self._begin(message)
            case "law":
                self.law, self.code = self._statements[message["law"]], ""
            case "case":
                self.code = str(message["code"])
            case "finding":
                self._add(message)
            case "judged":
                self._close(message)
            case "handover":
                self._hand_over(message)
            case "done":
                if not self.judged:
                    raise ValueError("not every property ran")
            case "broken":
                self._end("fails", message["why"])
            case "unavailable":
                self._end("unavailable", message["why"])

    def _begin(self, message: dict[str, Any]) -> None:
        """Open the page, or go on with it in a process that takes over."""
        entry, laws = self._entry(message), dict(self._statements)
        if self.page and self.record is not None:
            self.record = None
            if (entry.precision, entry.version) != (self.entry.precision, self.entry.version):
                raise ValueError(f"another entry than that of {self.entry.precision}")
            return
        if self.page:
            raise ValueError("the entry before is not complete")
        if message["expected"] != len(laws):
            raise ValueError(f"{message['expected']} properties instead of {len(laws)}")
        if self.selection.part:
            entry.whole = str(message["whole"])
            laws = {id: laws[id] for id in laws if id in message["here"]}
        entry.counts["expected"] = len(laws)
        self.page = Page(entry, laws)

    def _entry(self, message: dict[str, Any]) -> Entry:
        entry = Entry(self.name, str(message["version"]), device=str(message["device"]))
        entry.precision, entry.losses = str(message["precision"]), list(map(str, message["losses"]))
        self.precisions = self.precisions or [str(precision) for precision in message["precisions"]]
        if entry.precision != self.precisions[self.place]:
            raise ValueError(f"{entry.precision} instead of {self.precisions[self.place]}")
        return entry

    def _add(self, message: dict[str, Any]) -> None:
        finding = Finding(**message["finding"])
        if self.page is None or self.law is None or finding.id != self.law.id:
            raise ValueError(f"a finding of {finding.id}")
        self.law = None
        self.page.left.pop(finding.id, None)
        self.page.found[finding.id] = finding
        if message.get("batches"):
            self.page.entry.batches[finding.id] = list(message["batches"])

    def _hand_over(self, message: dict[str, Any]) -> None:
        if self.page is None or self.judged or self.law or self.record is not None:
            raise ValueError("a process may hand over between two laws only")
        self.record = dict(message["record"])

    def _close(self, message: dict[str, Any]) -> None:
        if self.page is None or self.judged:
            raise ValueError("there is no entry to close")
        if self.page.left and not self.deadline.over:
            raise ValueError(f"{len(self.page.left)} properties did not run")
        self.page.close()
        entry, self.judged = self.page.entry, True
        entry.seconds, entry.programs_compiled = float(message["seconds"]), int(message["programs_compiled"])
        entry.processor_seconds = float(message["processor_seconds"])
        entry.effective_u = float(message["effective_u"])

    def _end(self, status: str, why: str) -> None:
        """End the page, or a new one; what is judged stays."""
        self.page, self.record = self.page or Page(self.entry, {}), None
        if self.judged:
            self.page.entry.end(status, why)
        else:
            self.page.end(status, why, self.law, self.code)
