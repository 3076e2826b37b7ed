"""The tasks of a cluster of TensorFlow, and which of them are gone after an exchange that failed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from backends.tensorflow_backend import coordination
from backends.tensorflow_backend.coordination import TOO_LONG

__all__ = ["GONE", "Tasks", "tasks_of"]

GONE = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError,
        tf.errors.CancelledError, tf.errors.FailedPreconditionError)  # fmt: skip
"""What TensorFlow raises where another task is not there."""
TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
REPORTER = re.compile(rf"Error reported from {TASK.pattern}: ")
NO_ANSWER = "no answer from"
"""How a task that knows who is gone begins to tell all others."""
LIST = re.compile(rf"(?:{NO_ANSWER}|stopped sending heartbeats\):)((?:\s*{TASK.pattern})+)")
"""Tasks that are gone, as another task or the coordination service tells."""
HEARTBEAT = "CoordinationService/Heartbeat"
"""What no longer gets through to the first task, which serves it to all."""
ANSWER = 2.0
"""Seconds that a task may take to say that it lives, or that its exchange has failed."""
STAY = 10.0
"""Seconds for which a task that was told stays for the others, as long as TensorFlow waits for a heartbeat."""


@dataclass(frozen=True)
class Tasks:
    """The tasks that train, as `(job, number)` in the order of ranks, the chief first; `rank` is this one's."""

    names: tuple[tuple[str, int], ...]
    rank: int

    def gone(self, error: Exception) -> list[int]:
        """The ranks for which an exchange failed; all others are told of them. This may take seconds."""
        ranks = self._known(error) or self._silent() or self._late()
        if 0 not in ranks:  # which serves what others are told by; its loss is told to each by heartbeats
            self._tell(ranks)
        return ranks

    def _known(self, error: Exception) -> list[int]:
        """The ranks that an error is about; none if it only says for whom this task waited, who may have waited, too.

        Heartbeats go to the first task alone.
        """
        message = str(error)
        if isinstance(error, tf.errors.DeadlineExceededError):
            return [0] if HEARTBEAT in message and self.rank else []
        return [] if TOO_LONG in message else self.named(message)

    def named(self, message: str) -> list[int]:
        """The ranks in a list of tasks that are gone; without a list, that of the task that an error is about.

        An error that was handed on begins with that task.
        """
        listed = LIST.search(message)
        text = listed[1] if listed else REPORTER.sub("", message)
        found = [self.names.index(name) for job, number in TASK.findall(text)
                 if (name := (job, int(number))) in self.names]  # fmt: skip
        others = [rank for rank in found if rank != self.rank]
        return others if listed else others[:1]

    def _silent(self) -> list[int]:
        """The ranks whose processes do not answer."""
        return [rank for rank in range(len(self.names)) if not coordination.lives(self._task(rank), ANSWER)]

    def _late(self) -> list[int]:
        """The ranks that do not wait, too; the processes of all live."""
        coordination.say_failed(self.rank)
        return [rank for rank in range(len(self.names)) if not coordination.has_failed(rank, ANSWER)]

    def _tell(self, gone: list[int]) -> None:
        """Let the exchanges of all others fail, and wait until they have, since the first task serves all others."""
        coordination.say_failed(self.rank)
        if gone:
            coordination.report(" ".join((NO_ANSWER, *map(self._task, gone))))
        until = time.monotonic() + STAY
        others = (rank for rank in range(len(self.names)) if rank not in gone)
        all(coordination.has_failed(rank, until - time.monotonic()) for rank in others)

    def _task(self, rank: int) -> str:
        job, number = self.names[rank]
        return f"/job:{job}/replica:0/task:{number}"


def tasks_of(resolver: Any) -> Tasks:
    """The tasks of a cluster resolver, as that of TF_CONFIG; one for a process alone."""
    jobs = resolver.cluster_spec().as_dict()
    names = tuple((job, number) for job in ("chief", "worker") for number in range(len(jobs.get(job, ()))))
    return Tasks(names, names.index((resolver.task_type, resolver.task_id))) if names else Tasks((("worker", 0),), 0)
