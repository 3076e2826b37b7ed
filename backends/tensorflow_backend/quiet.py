"""Keeps the start-up lines of TensorFlow's native code and of XLA off standard error.

TensorFlow's own switch is an environment variable, which it reads once: setting it would also silence later warnings of
the user's program, and child processes would inherit it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

STDERR = 2
REPORT = re.compile(rb"(WARNING: All log messages before absl|[IWE]\d{4} [\d:. ]+|To enable the following)")
"""The beginnings of the log lines of a start that succeeds."""


@contextmanager
def quiet() -> Iterator[None]:
    """A block without the native log on standard error; the complete log where the block raises an error."""
    if not _is_open(STDERR):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(STDERR)
    shown = b""
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), STDERR)
        try:
            yield
            shown = b"".join(line for line in _lines(said.fileno()) if not REPORT.match(line))
        except BaseException:
            shown = b"".join(_lines(said.fileno()))
            raise
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            if shown:
                os.write(STDERR, shown)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return sys.stderr is not None


def _lines(descriptor: int) -> list[bytes]:
    sys.stderr.flush()
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).splitlines(keepends=True)
