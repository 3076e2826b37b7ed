"""What a network begins with: learned states, or zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.arrays import NumpyArrays
from rnnspec.network import Network
from rnnspec.running.beginning import begun
from rnnspec.tree import Tree, leaves

__all__ = ["beginning", "is_beginning"]

Array = Any


def beginning(net: Network, params: Tree, batch: int, dtype: str, state: Tree = None) -> Tree:
    """The state of so many rows, where a half that is None, or all of them, begin as the network does."""
    arrays = NumpyArrays(dtype)
    return begun(arrays, net, params, net.unset_state(batch, arrays.zeros) if state is None else state, batch)


def is_beginning(state: Tree, first: Tree) -> bool:
    """Whether a state is what a network begins with."""
    return all(np.array_equal(a, b) for (_, a), (_, b) in zip(leaves(state), leaves(first), strict=True))
