"""What a conversion gives: a network or a model, and everything that was lost on the way, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["Exported", "Imported", "Loss", "Lost"]


class Loss(Enum):
    """What a conversion can lose or add without changing the function; what would change it is refused."""

    SUMMED_BIASES = "two biases of a gate become their sum"
    SECOND_BIAS = "a gate has two biases there: the second is zeros, and training moves both"
    NO_BIAS = "there is no bias: zeros are written, and training moves them"
    NO_INNER_BIAS = "there is no inner bias p.n: it is zeros here, and not trained there"
    ROUNDED = "numbers are rounded to float32"
    BATCH_FIRST = "arrays are (batch, time, feature) there, and (time, batch, feature) here"
    INITIAL_STATE = "the initial state is not carried over: it is zeros unless given"
    DIRECTION_AXIS = "directions stand on an axis of their own there, and side by side here"
    PADDING = "what is read behind a row's end, of a row of length 0 too, is not promised there: here it is zeros"
    SHARED = "weights that are shared there become weights of each"
    POLICY = "the gradient policy is not carried over: gradients there are the full ones"
    OBJECTIVE = "the loss is not carried over"
    REGULARISERS = "regularizers and constraints are not carried over"


@dataclass(frozen=True)
class Lost:
    """One loss and where it happened: `layers.0.forward`, `output`, or the empty name for the whole network."""

    place: str
    what: Loss

    def __str__(self) -> str:
        return f"{self.place}: {self.what.value}" if self.place else self.what.value


@dataclass(frozen=True)
class Imported:
    """A network and its parameters, NumPy arrays in the precision that they had, and what was lost."""

    net: Network
    params: Tree
    losses: tuple[Lost, ...]


@dataclass(frozen=True)
class Exported:
    """A model of the other side, and what was lost."""

    model: Any
    losses: tuple[Lost, ...]
