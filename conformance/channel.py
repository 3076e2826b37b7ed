"""One JSON object per line between a process that judges and the one that reports.

Whatever a backend prints goes to standard error, so that it cannot be taken for a message.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from rnnspec import errors

__all__ = ["Channel", "parse", "refusals"]


class Channel:
    """A child's side: its standard output, taken before anybody else can write to it, and its standard input."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(self, event: str, **facts: Any) -> None:
        """Send one message. Numbers that JSON lacks go as the largest float."""
        self._out.write(json.dumps({"event": event, **_finite(facts)}, allow_nan=False) + "\n")
        self._out.flush()

    def hear(self) -> Iterator[dict[str, Any]]:
        """The messages that come in, until the other side closes."""
        for line in sys.stdin:
            yield json.loads(line)


@contextmanager
def refusals(channel: Channel) -> Iterator[None]:
    """Tell of an error of the rnnspec family: `unavailable` where nothing is wrong but what is asked, or `broken`."""
    try:
        yield
    except (errors.BackendUnavailable, errors.UnsupportedError) as error:
        channel.tell("unavailable", why=str(error))
    except errors.RnnSpecError as error:
        channel.tell("broken", why=str(error))


def parse(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        largest = sys.float_info.max
        return largest if math.isnan(value) else min(max(value, -largest), largest)
    return value
