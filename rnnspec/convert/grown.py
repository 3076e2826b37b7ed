"""The parts of a network that grows: layers, with their parameters and widths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rnnspec.convert.activations import Activation
from rnnspec.feed_forward import FeedForward
from rnnspec.layer import Layer
from rnnspec.output import Dense
from rnnspec.tracing.cell import Cell, cell
from rnnspec.tree import Tree

__all__ = ["Grown", "activating", "same_memory"]

Array = Any
ENDINGS = ("sigmoid", "log_sigmoid")
"""The activations that make probabilities of logits, beside those of all features together."""


@dataclass(frozen=True)
class Grown:
    """One part of a growing network: its layer, its parameters, the width of its outputs, and its activation.

    `given` is the weight of a dense layer as it was given, which may be that of the embedding.
    """

    layer: Layer | FeedForward
    params: Tree
    width: int
    activation: str = ""
    given: Array = None

    @property
    def recurrent(self) -> bool:
        """Whether the part has a state."""
        return bool(self.layer.cell.states)

    @property
    def is_logits(self) -> bool:
        """Whether the part can be the output layer: a dense layer whose activation, if any, is left to the caller."""
        return isinstance(self.layer, Dense) and self.activation in ("", *ENDINGS)


@lru_cache(maxsize=64)
def activating(function: Activation) -> Cell:
    """A cell without a state that applies an activation to its input."""

    def activation(x: Any) -> Any:
        return function(x)

    activation.__name__ = getattr(function, "__name__", "activation")
    return cell(activation)


def same_memory(one: Array, other: Array) -> bool:
    """Whether two arrays are one and the same, as those of tied weights are."""
    if one is None or other is None:
        return False
    return bool(one.shape == other.shape and one.strides == other.strides and one.ctypes.data == other.ctypes.data)
