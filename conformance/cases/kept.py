"""Results that are kept up to a number of bytes: what was not used for longest goes first.

A count would be no bound: one reference of a wide layer takes as much memory as a thousand of small ones.

>>> kept = Kept(10)
>>> [kept.get(key, lambda: key * 4, len) for key in "abca"]
['aaaa', 'bbbb', 'cccc', 'aaaa']
>>> kept.bytes, list(kept)
(8, ['c', 'a'])
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept:
    """Results by key, of at most `most` bytes together; a result that is larger by itself is not kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """The kept result of a key, or a new one; `size(result)` is in bytes."""
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key][0]  # type: ignore[no-any-return]  # `make` made it
        made = make()
        self._keep(key, made, size(made))
        return made

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._found)

    def _keep(self, key: Hashable, made: Any, size: int) -> None:
        if size > self._most or key in self._found:
            return
        self._found[key], self.bytes = (made, size), self.bytes + size
        while self.bytes > self._most:
            _, (_, gone) = self._found.popitem(last=False)
            self.bytes -= gone
