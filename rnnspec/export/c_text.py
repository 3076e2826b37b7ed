"""Lines of C: indented, in a loop, and without what nothing reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["indented", "looped", "needed", "plus", "words"]

POINTER = re.compile(r" *(?:const )?(?:signed char|float|double) \*const (\w+) = ")


def plus(offset: int) -> str:
    """What is added to a pointer."""
    return f" + {offset}" if offset else ""


def indented(lines: Iterable[str]) -> list[str]:
    """The lines one level deeper."""
    return [f"    {line}" for line in lines]


def looped(head: str, body: Sequence[str]) -> list[str]:
    """A loop, with braces where it has several lines."""
    return [head, *indented(body)] if len(body) == 1 else [f"{head} {{", *indented(body), "}"]


def words(line: str) -> list[str]:
    """The identifiers, keywords and numbers of a line."""
    return re.findall(r"\w+", line)


def needed(lines: list[str]) -> list[str]:
    """The lines without pointers that nothing reads."""
    counts = Counter(word for line in lines for word in words(line))
    kept = [line for line in lines
            if not (found := POINTER.match(line)) or counts[found[1]] > words(line).count(found[1])]  # fmt: skip
    return kept if len(kept) == len(lines) else needed(kept)
