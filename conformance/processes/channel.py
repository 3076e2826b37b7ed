"""Messages between the process of a backend and the process that reports: one JSON object per line.

A backend's printed text goes to standard error, so that it is never read as a message. Each message begins with a
random word of the process, so that text which a backend writes into the channel is never read as a message either.
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
"""The first message; text before it was printed before any backend was loaded."""

LONGEST = 20_000
"""The most characters of a text in a message."""


class Channel:
    """The channel in the child process: its standard output and input, taken before the backend can use them.

    The first line that it reads is the word that its messages begin with.
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
        """Send one message. NaN and infinity become the largest float, and long texts are cut."""
        self._out.write(f"{self._word}{json.dumps({'event': event, **_sendable(facts)}, allow_nan=False)}\n")
        self._out.flush()

    def hear(self) -> Iterator[dict[str, Any]]:
        """The incoming messages, until the other process closes the channel."""
        for line in self._in:
            yield json.loads(line)


@contextmanager
def refusals(channel: Channel) -> Iterator[None]:
    """Report an RnnSpecError of the block: `unavailable` where the request cannot be met, else `broken`."""
    try:
        yield
    except (errors.BackendUnavailable, errors.UnsupportedError) as error:
        channel.tell("unavailable", why=str(error))
    except errors.RnnSpecError as error:
        channel.tell("broken", why=str(error))


def parse(line: bytes, word: str) -> dict[str, Any] | None:
    """The message of a line, or None where the line is no message."""
    head, body = line[: len(word)], line[len(word) :]
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_message = head == word.encode() and isinstance(found, dict) and isinstance(found.get("event"), str)
    return found if is_message else None


def plain(text: str) -> str:
    """A text that is safe for a terminal: without characters that move the cursor or change colours."""
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
