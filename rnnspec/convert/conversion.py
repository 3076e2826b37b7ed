"""The result of a conversion: a network or a model, and notes on what the conversion dropped, added or changed.

>>> print(PlacedNote("layers.0.forward", Note.SUMMED_BIASES))
[training] layers.0.forward: two biases of a gate become their sum

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

__all__ = ["Exported", "Imported", "Level", "Loss", "Lost", "Note", "PlacedNote"]


class Level(Enum):
    """What a note is about: the function that is computed, its training, or only the form of arrays."""

    FUNCTION = "function"
    """Outputs differ from those of the model, unless the caller does what the note says."""
    TRAINING = "training"
    """Outputs are the same; training goes another way."""
    FORM = "form"
    """Outputs and training are the same; arrays have other axes, or hold other numbers where nothing reads them."""


class Note(Enum):
    """What a conversion changed, or did not carry over; its value is the sentence, `level` says what that touches."""

    level: Level

    def __new__(cls, sentence: str, level: Level) -> Note:
        """A member whose value is the sentence alone."""
        member = object.__new__(cls)
        member._value_, member.level = sentence, level
        return member

    SUMMED_BIASES = "two biases of a gate become their sum", Level.TRAINING
    SECOND_BIAS = "a gate gets a second bias of zeros, and training moves both biases", Level.TRAINING
    NO_BIAS = "a missing bias is written as zeros, and training moves it", Level.TRAINING
    NO_INNER_BIAS = (
        "the model has no inner bias p.n: rnnspec has zeros in its place, and the model does not train it",
        Level.TRAINING,
    )
    FIXED_PART = (
        "a part of the model that the cell does not have changes nothing, and training moves it", Level.TRAINING,
    )  # fmt: skip
    LEARNED = "the model trains a number that is a constant of the cell", Level.TRAINING
    BLOCKS = "block-diagonal maps become whole ones with zeros, which training moves", Level.TRAINING
    OUTSIDE = "tensors that act before or after the recurrence are not carried over", Level.FUNCTION
    ROUNDED = "numbers are rounded to float32", Level.FUNCTION
    BATCH_FIRST = (
        "the model takes arrays (batch, time, feature); rnnspec takes (time, batch, feature)", Level.FORM,
    )  # fmt: skip
    INITIAL_STATE = (
        "the initial state is not carried over; a run starts from zeros unless it is given a state", Level.FUNCTION,
    )  # fmt: skip
    DIRECTION_AXIS = "the model has an axis for directions; rnnspec concatenates them over features", Level.FORM
    PADDING = (
        "outputs after a row's end, also of a row of length 0, are undefined in the model and zeros in rnnspec",
        Level.FORM,
    )
    SHARED = "each part gets its own copy of shared weights", Level.TRAINING
    POLICY = "the gradient policy is not carried over: the model has full gradients", Level.TRAINING
    OBJECTIVE = "the training loss is not carried over", Level.TRAINING
    NOISE = "noise is not carried over: the model is the evaluation", Level.TRAINING
    REGULARISERS = "regularizers and constraints are not carried over", Level.TRAINING
    DROPOUT = "noise is not carried over: the network computes what the model does in evaluation", Level.TRAINING
    PLAIN_NORM = "a norm without learned numbers gets a scale of ones and a shift of zeros, which training moves", (
        Level.TRAINING
    )
    COMPUTED = "weights that the model computes from others, as weight norm does, become plain ones", Level.TRAINING
    QUANTISED = "quantised weights become the numbers that they stand for", Level.FUNCTION
    ACTIVATION = "outputs are what the model's last activation is given: apply it to them", Level.FUNCTION
    PADDING_CLASS = "the row of the padding class is a row like any other, and training moves it", Level.TRAINING
    FLAT = "the model gives the steps of all rows along one axis; rnnspec gives (time, batch, feature)", Level.FORM
    MASK = "the model leaves masked steps out: give the lengths of rows that are padded at their end", Level.FUNCTION
    EQUATIONS = (
        "the cell has other equations than the framework's layer: its maps are those of the same names", Level.FUNCTION,
    )  # fmt: skip
    LENGTHS = "lengths of rows are an input of the model; give them to `run`", Level.FORM
    FIXED_LENGTHS = "the model has constant lengths of rows; give them to `run`", Level.FUNCTION
    STATES = "inputs and outputs of the model are the initial and the final state of a run", Level.FORM
    FOLDED = "factors and summands of features become part of the map beside them", Level.TRAINING
    ONE_ROW = "the model has no axis for the batch: it runs one row", Level.FORM
    AXES = "the model's arrays have their axes in another order", Level.FORM
    BRANCH = "a branch that the model takes at some lengths only is not carried over", Level.FUNCTION
    UNUSED = "a part of the model that nothing reads is left out", Level.TRAINING


@dataclass(frozen=True)
class PlacedNote:
    """A note, its place (`layers.0.forward`, `output`, or the empty name for the network), and what it is about there.

    It prints as `[training] layers.0.forward: two biases of a gate become their sum`.
    """

    place: str
    what: Note
    detail: str = ""

    @property
    def level(self) -> Level:
        """Whether the function, its training or only the form differs."""
        return self.what.level

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"[{self.level.value}] {place}{self.what.value}{f': {self.detail}' if self.detail else ''}"


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

    def notes_on(self, level: Level) -> tuple[PlacedNote, ...]:
        """The notes of one level, such as `Level.FUNCTION`."""
        return tuple(note for note in self.notes if note.level is level)

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

    def notes_on(self, level: Level) -> tuple[PlacedNote, ...]:
        """The notes of one level, such as `Level.FUNCTION`."""
        return tuple(note for note in self.notes if note.level is level)

    @property
    def losses(self) -> tuple[PlacedNote, ...]:
        """The former name of `notes`."""
        return self.notes


Loss, Lost = Note, PlacedNote
