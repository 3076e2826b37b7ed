"""The tasks of a cluster of TensorFlow, and which of them are gone after an exchange that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

__all__ = ["GONE", "Tasks", "tasks_of"]

GONE = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError,
        tf.errors.CancelledError, tf.errors.FailedPreconditionError)  # fmt: skip
"""What TensorFlow raises where another task is not there."""
TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
HEARTBEAT = "CoordinationService/Heartbeat"
"""What no longer gets through to the first task, which serves it to all."""
ANSWER_MS = 2000
"""How long a task may take to say that it lives, or waits."""


@dataclass(frozen=True)
class Tasks:
    """The tasks that train, as `(job, number)` in the order of ranks, the chief first; `rank` is this one's."""

    names: tuple[tuple[str, int], ...]
    rank: int

    def gone(self, error: Exception, turn: int) -> list[int]:
        """The ranks for which the exchange of this number failed; this may take seconds."""
        in_vain = isinstance(error, tf.errors.DeadlineExceededError)
        named = self._waited_for(str(error)) if in_vain else self.named(str(error))
        return named or self._silent() or self._late(turn)

    def _waited_for(self, message: str) -> list[int]:
        """The rank that did not answer in time: the first, if heartbeats need it, and otherwise nobody knows which.

        Such an error names only whom it was heard from. Nor can all be asked: who heard of the first may have ended.
        """
        return [0] if HEARTBEAT in message and self.rank else []

    def named(self, message: str) -> list[int]:
        """The rank that an error is about: a message that was handed on begins with the task that nobody reached."""
        found = (self.names.index(name) for job, number in TASK.findall(message)
                 if (name := (job, int(number))) in self.names)  # fmt: skip
        return [rank for rank in found if rank != self.rank][:1]

    def _silent(self) -> list[int]:
        """The ranks whose processes do not answer."""
        return [rank for rank, (job, number) in enumerate(self.names)
                if not _lives(f"/job:{job}/replica:0/task:{number}")]  # fmt: skip

    def _late(self, turn: int) -> list[int]:
        """The ranks that do not say that they wait, too; the processes of all live."""
        context.context().set_config_key_value(f"rnnspec/{turn}/{self.rank}", "waits")
        return [rank for rank in range(len(self.names)) if not _is_set(f"rnnspec/{turn}/{rank}")]


def tasks_of(resolver: Any) -> Tasks:
    """The tasks of a cluster resolver, as that of TF_CONFIG; one for a process alone."""
    jobs = resolver.cluster_spec().as_dict()
    names = tuple((job, number) for job in ("chief", "worker") for number in range(len(jobs.get(job, ()))))
    return Tasks(names, names.index((resolver.task_type, resolver.task_id))) if names else Tasks((("worker", 0),), 0)


def _lives(task: str) -> bool:
    try:
        context.context().check_collective_ops_peer_health(task, timeout_in_ms=ANSWER_MS)
    except GONE:
        return False
    return True


def _is_set(key: str) -> bool:
    try:
        return bool(context.context().get_config_key_value(key, timeout_in_ms=ANSWER_MS))
    except tf.errors.OpError:
        return False
