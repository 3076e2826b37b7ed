"""An inquiry into one law on one backend, label by label, so that it may be broken off and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conformance.findings.finding import Finding, Verdict, combine
from conformance.processes.deadline import OVER
from conformance.registry import Property

__all__ = ["Inquiry"]


@dataclass
class Inquiry:
    """The labels of a law and the verdicts so far; `finished` is the finding where there is nothing to ask.

    `judge(label, failed, times)` gives the verdict on a label, with `times` as many examples; `failed` says that
    another label failed before. `conclude(finding, label)` adds what only a whole finding has; the label is one that
    failed, or empty.
    """

    law: Property
    labels: tuple[str, ...] = ()
    judge: Callable[[str, bool, int], Verdict] = lambda *_: Verdict("error")
    conclude: Callable[[Finding, str], Finding] = lambda finding, _: finding
    finished: Finding | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def left(self) -> list[str]:
        """The labels that are not asked yet."""
        return [label for label in self.labels if label not in self.verdicts]

    def ask(self, labels: Sequence[str], times: int = 1) -> None:
        """Test the law on some labels, and on no label twice."""
        for label in labels:
            if label in self.left:
                failed = any(v.status == "fail" for v in self.verdicts.values())
                self.verdicts[label] = self.judge(label, failed, times)

    def finding(self) -> Finding:
        """What is known so far; a label that is not asked yet has the status `not_asked`."""
        if self.finished:
            return self.finished
        unasked = Verdict("not_asked", why=OVER)
        found = {label: self.verdicts.get(label, unasked) for label in self.labels}
        shown = next((label for status in ("fail", "error") for label, v in found.items() if v.status == status), "")
        return self.conclude(combine(self.law.statement, found), shown)
