"""The agenda of a backend: which law is asked on which labels, in which order.

First come the laws and labels that failed in an earlier run, with more examples. Then come the largest labels, since a
new process has room for their programs. Then each law is asked once, on its first label, before any law is asked on its
others, label by label, since laws share the programs of a label. Among the laws, those come first that detect the most
known faults.
A process that takes over from another leaves out the laws of which something is told.
Half of the backends take these labels in the other direction: those that run together then find each other's
references, where they would calculate the same one at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["MORE", "Failed", "Turn", "agenda", "times"]

MORE = 4
"""How many times as many examples a label has that failed in an earlier run."""

Failed = Mapping[str, Sequence[str]]
"""The ids of laws that failed in an earlier run, each with its labels that failed; with none, if no label is known."""


@dataclass(frozen=True)
class Turn:
    """Some labels of the law with this id, each with `times` as many examples as the tier says."""

    law: str
    labels: tuple[str, ...]
    times: int = 1


def times(law: str, label: str, failed: Failed) -> int:
    """How many times as many examples a label of a law has."""
    return MORE if law in failed and label in (failed[law] or (label,)) else 1


def agenda(
    laws: Sequence[str], left: Callable[[str], Sequence[str]], failed: Failed, told: Collection[str] = (),
    backwards: bool = False, largest: Sequence[str] = (),
) -> Iterator[Iterator[Turn]]:
    """The rounds of turns; `left(law)` are the labels that are not asked yet when a turn begins.

    A law comes up in the first round of all laws even if no label is left, so that its finding is told once; one of
    `told` does not.

    >>> labels = {"P1": ["lstm", "gru"], "P2": ["lstm", "tower"], "P3": ["gru", "elman"]}
    >>> rounds = agenda(["P2", "P1", "P3"], lambda law: labels[law], {"P3": ["elman"]}, largest=["tower"])
    >>> [(turn.law, turn.times) for turn in next(rounds)]
    [('P3', 4)]
    >>> [(turn.law, turn.labels) for turn in next(rounds)]
    [('P2', ('tower',))]
    >>> labels["P2"].remove("tower")
    >>> [(turn.law, turn.labels) for turn in next(rounds)]
    [('P2', ('lstm',)), ('P1', ('lstm',)), ('P3', ('gru',))]
    >>> [(turn.law, turn.labels) for turn in next(rounds)][:3]
    [('P2', ('lstm',)), ('P1', ('lstm',)), ('P1', ('gru',))]
    """
    yield (Turn(law, tuple(failed[law] or left(law)), MORE) for law in laws if law in failed)
    yield (Turn(law, (label,)) for label in largest for law in laws if label in left(law))
    yield (Turn(law, tuple(left(law)[:1])) for law in laws if law not in told)
    labels = list(dict.fromkeys(label for law in laws for label in left(law)))
    if backwards:
        labels.reverse()
    yield (Turn(law, (label,)) for label in labels for law in laws if label in left(law))
