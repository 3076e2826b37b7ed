"""The result of a conversion: a network or a model, and notes on what the conversion dropped, added or changed.

Former names stay: `Loss` is `Note`, `Lost` is `PlacedNote`, and `Imported` and `Exported` also take and have `losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["Exported", "Imported", "Loss", "Lost", "Note", "PlacedNote"]


class Note(Enum):
    """A difference that a conversion makes without changing the function; it refuses what would change the function."""

    SUMMED_BIASES = "two biases of a gate become their sum"
    SECOND_BIAS = "a gate gets a second bias of zeros, and training moves both biases"
    NO_BIAS = "a missing bias is written as zeros, and training moves it"
    NO_INNER_BIAS = "the model has no inner bias p.n: rnnspec has zeros in its place, and the model does not train it"
    FIXED_PART = "a part of the model that the cell does not have changes nothing, and training moves it"
    LEARNED = "the model trains a number that is a constant of the cell"
    BLOCKS = "block-diagonal maps become whole ones with zeros, which training moves"
    OUTSIDE = "tensors that act before or after the recurrence are not carried over"
    ROUNDED = "numbers are rounded to float32"
    BATCH_FIRST = "the model takes arrays (batch, time, feature); rnnspec takes (time, batch, feature)"
    INITIAL_STATE = "the initial state is not carried over; a run starts from zeros unless it is given a state"
    DIRECTION_AXIS = "the model has an axis for directions; rnnspec concatenates them over features"
    PADDING = "outputs after a row's end, also of a row of length 0, are undefined in the model and zeros in rnnspec"
    SHARED = "each part gets its own copy of shared weights"
    POLICY = "the gradient policy is not carried over: the model has full gradients"
    OBJECTIVE = "the training loss is not carried over"
    NOISE = "noise is not carried over: the model is the evaluation"
    REGULARISERS = "regularizers and constraints are not carried over"


@dataclass(frozen=True)
class PlacedNote:
    """A note and its place: `layers.0.forward`, `output`, or the empty name for the network."""

    place: str
    what: Note

    def __str__(self) -> str:
        return f"{self.place}: {self.what.value}" if self.place else self.what.value


Made = TypeVar("Made")


def _takes_losses(made: type[Made]) -> type[Made]:
    """Let callers give `losses=` for `notes=`."""
    init: Callable[..., None] = made.__init__

    @wraps(init)
    def initialise(self: Made, *args: Any, **kwargs: Any) -> None:
        former = {"notes": kwargs.pop("losses")} if "losses" in kwargs else {}
        init(self, *args, **kwargs | former)

    made.__init__ = initialise  # type: ignore[assignment]
    return made


@_takes_losses
@dataclass(frozen=True)
class Imported:
    """A network, its parameters as NumPy arrays in the precision that they had, and the notes of the conversion."""

    net: Network
    params: Tree
    notes: tuple[PlacedNote, ...]

    @property
    def losses(self) -> tuple[PlacedNote, ...]:
        """The former name of `notes`."""
        return self.notes


@_takes_losses
@dataclass(frozen=True)
class Exported:
    """A model of the framework or format, and the notes of the conversion."""

    model: Any
    notes: tuple[PlacedNote, ...]

    @property
    def losses(self) -> tuple[PlacedNote, ...]:
        """The former name of `notes`."""
        return self.notes


Loss, Lost = Note, PlacedNote
