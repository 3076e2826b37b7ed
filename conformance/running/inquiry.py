"""An inquiry into one law on one backend, label by label, so that it may be broken off and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from conformance.findings.finding import Finding, Verdict, combine
from conformance.findings.tally import Tally, verdict
from conformance.processes.deadline import OVER
from conformance.registry import Property
from conformance.running.agenda import Failed, times

__all__ = ["BATCH", "Batch", "BatchId", "Inquiry"]

BATCH = 20
"""The most examples that are drawn together."""

BatchId = tuple[str, str, int]
"""A law, a label and a number; a law that asks nothing has one id, with no label."""


@dataclass(frozen=True)
class Batch:
    """Some examples of a label, drawn together: batch `number` of so many `examples`.

    `failed` says that the law failed on a label of an earlier place, whose case its finding shows.
    """

    label: str
    place: int
    number: int
    examples: int
    failed: bool = False


@dataclass
class Inquiry:
    """The labels of a law and the tallies so far; `finished` is the finding where there is nothing to ask.

    `judge` tests one batch. `conclude(finding, label)` adds what only a whole finding has; the label is one that
    failed, or empty. A label has so many `examples` if it is asked once. `own` are the batches of this part of a run,
    by label and number; None is all of them.
    """

    law: Property
    labels: tuple[str, ...] = ()
    judge: Callable[[Batch], Tally] = lambda batch: Tally(batch.label, batch.place, batch.number)
    conclude: Callable[[Finding, str], Finding] = lambda finding, _: finding
    finished: Finding | None = None
    examples: int = 1
    own: Collection[tuple[str, int]] | None = None
    tallies: dict[str, list[Tally]] = field(default_factory=dict)

    @property
    def here(self) -> list[str]:
        """The labels with a batch of this part."""
        return [label for label in self.labels if self.own is None or any(label == other for other, _ in self.own)]

    @property
    def left(self) -> list[str]:
        """Those that are not asked yet."""
        return [label for label in self.here if label not in self.tallies]

    def ask(self, labels: Sequence[str], times: int = 1) -> None:
        """Test the law on some labels, with `times` as many examples, and on no label twice."""
        for label in labels:
            if label in self.left:
                self._ask(label, times)

    def batches(self, times: int = 1) -> range:
        """The numbers of a label's batches, if it has `times` as many examples."""
        return range(-(-times * self.examples // BATCH))

    def ids(self, failed: Failed) -> list[BatchId]:
        """The ids of all batches; a label that failed in an earlier run has more."""
        found = [(self.law.id, label, number) for label in self.labels
                 for number in self.batches(times(self.law.id, label, failed))]  # fmt: skip
        return found or [(self.law.id, "", 0)]

    def finding(self) -> Finding:
        """What is known so far; a label that is not asked yet has the status `not_asked`."""
        if self.finished:
            return self.finished
        unasked = Verdict("not_asked", why=OVER)
        found = {label: verdict(self.tallies[label]) if label in self.tallies else unasked for label in self.here}
        shown = next((label for status in ("fail", "error") for label, v in found.items() if v.status == status), "")
        return self.conclude(combine(self.law.statement, found), shown)

    def _ask(self, label: str, times: int) -> None:
        place = self.labels.index(label)
        failed = any(verdict(self.tallies.get(other, ())).status == "fail" for other in self.labels[:place])
        found = self.tallies[label] = list[Tally]()
        for number in self.batches(times):
            if self.own is None or (label, number) in self.own:
                count = min(BATCH, times * self.examples - number * BATCH)
                found.append(self.judge(Batch(label, place, number, count, failed)))
                if found[-1].found:
                    return
