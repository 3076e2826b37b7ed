"""The last printed lines of a process, shortened for a report.

>>> printed = Printed()
>>> printed.add(b"first\\nsec")
>>> printed.add(b"ond\\n")
>>> printed.shown(), printed.bytes
('first | second', 13)
"""

from __future__ import annotations

from collections import deque

from conformance.processes.channel import plain

__all__ = ["Printed", "shortened"]

LINES, CHARACTERS = 12, 300

FATAL = "Fatal Python error"
"""Python's first words when it crashes; the traceback follows, innermost call first."""


class Printed:
    """The last lines; from a fatal error on, the lines that follow it."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lines: deque[str] = deque(maxlen=LINES)
        self._rest = b""
        self._fatal = False

    def add(self, chunk: bytes) -> None:
        """Add printed text."""
        self.bytes += len(chunk)
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[: 4 * CHARACTERS]
        for line in lines:
            self._keep(shortened(line))

    def shown(self) -> str:
        """The lines joined into one."""
        return " | ".join(line for line in (*self._lines, shortened(self._rest)) if line)

    def _keep(self, line: str) -> None:
        if line.startswith(FATAL):
            self._fatal = True
            self._lines.clear()
        if line.strip() and not (self._fatal and len(self._lines) == LINES):
            self._lines.append(line)


def shortened(line: bytes) -> str:
    """The beginning of a line, safe for a terminal."""
    text = line[: 4 * CHARACTERS].decode(errors="replace").strip()
    return plain(text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}...")
