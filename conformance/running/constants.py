"""Draws that depend on the seed alone.

hypothesis also draws numbers that it finds in the source of local modules, in those that are imported at the time. So
one seed would give other cases in a clone than in an installed copy, and after other laws than before them. The parts
of a run are tested in other orders and at other places than the whole, and must have its cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

__all__ = ["without_local_constants"]


CACHE: LRUCache[Any, Any] = LRUCache(1024)
"""The constants that fit each kind of draw, apart from those that hypothesis keeps for other tests of the process."""


@contextmanager
def without_local_constants() -> Iterator[None]:
    """Draw no numbers of local modules in the block."""
    with patch.multiple(providers, CONSTANTS_CACHE=CACHE, _get_local_constants=Constants):
        yield
