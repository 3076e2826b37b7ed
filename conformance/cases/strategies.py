"""What hypothesis draws: structure, seeds and scales, never single numbers of an array."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis.strategies import SearchStrategy

from conformance.cases.case import Case
from rnnspec.cell import Cell
from rnnspec.network import Network

__all__ = ["cases", "wild_cases"]


def cases(networks: Sequence[Network]) -> SearchStrategy[Case]:
    """Cases at the default sizes, always with lengths (full ones included), over the given networks."""
    raise NotImplementedError


def wild_cases(cell_list: Sequence[Cell]) -> SearchStrategy[Case]:
    """Anything: time 0-64 and 200, batch 0-9, widths 1-33, every direction, one to three layers, any cell."""
    raise NotImplementedError
