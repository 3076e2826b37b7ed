"""The console that a command prints on."""

from __future__ import annotations

from rich.console import Console

__all__ = ["console"]

PLAIN_WIDTH = 140
"""Columns of what is written to a file or a log."""


def console() -> Console:
    """The terminal, or a page of fixed width where standard output is none."""
    found = Console()
    if not found.is_terminal:
        found.width = PLAIN_WIDTH
    return found
