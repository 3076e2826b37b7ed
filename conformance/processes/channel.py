"""One JSON object per line between a process that judges and the one that reports.

Whatever a backend prints goes to standard error, so that it cannot be taken for a message. Each message begins with a
word that was drawn for the process, so that what a backend writes to the channel itself cannot be taken for one either.
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

__all__ = ["OPEN", "Channel", "parse", "plain", "refusals"]

OPEN = "open"
"""The first message of all: what stands before it was printed before any backend was loaded."""

LONGEST = 20_000
"""Characters of a text of which the rest is left out."""


class Channel:
    """A child's side: its standard output and input, taken before anybody else can use them.

    The first line that comes in is the word with which its messages begin.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._in: IO[str] = os.fdopen(os.dup(0), encoding="utf-8")
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._word = self._in.readline().strip()
        self.tell(OPEN)

    def tell(self, event: str, **facts: Any) -> None:
        """Send one message. Numbers that JSON lacks go as the largest float, texts that nobody reads whole cut."""
        self._out.write(f"{self._word}{json.dumps({'event': event, **_sendable(facts)}, allow_nan=False)}\n")
        self._out.flush()

    def hear(self) -> Iterator[dict[str, Any]]:
        """The messages that come in, until the other side closes."""
        for line in self._in:
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


def parse(line: bytes, word: str) -> dict[str, Any] | None:
    """The message of a line; None where it is none."""
    head, body = line[: len(word)], line[len(word) :]
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    told = head == word.encode() and isinstance(found, dict) and isinstance(found.get("event"), str)
    return found if told else None


def plain(text: str) -> str:
    """A text that a terminal can be shown: without the signs that would move its cursor or change its colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _sendable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _sendable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(v) for v in value]
    if isinstance(value, float):
        largest = sys.float_info.max
        return largest if math.isnan(value) else min(max(value, -largest), largest)
    if isinstance(value, str):
        return plain(value if len(value) <= LONGEST else f"{value[:LONGEST]}... ({len(value):,} characters)")
    return value
