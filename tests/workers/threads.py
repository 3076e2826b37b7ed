"""Workers that are threads of one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


def each(function, given):
    """`function` of each of the given, each on a thread of its own, in order."""
    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(function, given, timeout=30))
