"""TensorFlow's coordination service: what the tasks of a cluster learn of each other, served by the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

__all__ = ["TOO_LONG", "failing_after", "has_failed", "lives", "report", "say_failed"]

TOO_LONG = "an exchange took too long"
"""What a task reports that does not know who is gone."""


@contextmanager
def failing_after(seconds: float | None) -> Iterator[None]:
    """Let the exchange inside fail, on every task that waits for it, if it takes longer; None waits for ever."""
    limit = Timer(seconds or 0.0, report, (TOO_LONG,))
    limit.daemon = True
    if seconds:
        limit.start()
    try:
        yield
    finally:
        limit.cancel()


def report(message: str) -> None:
    """Let the exchanges of all tasks fail with this message: the one for which they wait, or else their next one."""
    _succeeds(context.context().report_error_to_cluster, tf.errors.UNAVAILABLE, message)


def say_failed(rank: int) -> None:
    """Tell all tasks that an exchange of this one has failed."""
    _succeeds(context.context().set_config_key_value, _key(rank), "failed")


def has_failed(rank: int, seconds: float) -> bool:
    """Whether that rank says that an exchange of it has failed, or says so within this time."""
    return _succeeds(context.context().get_config_key_value, _key(rank), max(1, round(1000 * seconds)))


def lives(task: str, seconds: float) -> bool:
    """Whether the process of a task answers within this time."""
    return _succeeds(context.context().check_collective_ops_peer_health, task, round(1000 * seconds))


def _key(rank: int) -> str:
    return f"rnnspec/failed/{rank}"


def _succeeds(call: Callable[..., Any], *arguments: Any) -> bool:
    try:
        call(*arguments)
    except tf.errors.OpError:
        return False
    return True
