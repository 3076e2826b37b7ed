"""The features of an ONNX graph by numbers: each feature that a stage gives has a number of its own.

Operators that move whole axes then move numbers, as NumPy moves any array, and the numbers that arrive somewhere say
which stages they come from. A stage reads the features `source`, in this order.

>>> features = Features()
>>> numbers = features.new(Entry("x", 2, 3))
>>> features.new(Entry("y", 2, 2)).tolist(), features.origin(numbers[::-1]).columns.tolist()
([3, 4], [2, 1, 0])
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.convert.onnx_operator import Operator

__all__ = ["END", "START", "Affine", "End", "Entry", "Features", "Function", "Half", "Lookup", "Norm", "Origin",
           "Select", "Stage", "State", "Sum"]  # fmt: skip

Numbers = Any
"""An array of numbers of features."""
END, START = "the last time", "the first time"


@dataclass(frozen=True, eq=False)
class Stage:
    """What gives features: an input, or an operator that computes."""


@dataclass(frozen=True, eq=False)
class Entry(Stage):
    """An input of the graph, or a value at which it is cut, with its features along an axis; None: not known yet."""

    name: str
    axis: int | None
    width: int


@dataclass(frozen=True, eq=False)
class Lookup(Stage):
    """Rows of a table, by class numbers that are the input of this name."""

    operator: Operator
    name: str
    table: Any

    @property
    def axis(self) -> None:
        """No axis of the input has features."""

    @property
    def width(self) -> int:
        """The number of features of a class."""
        return int(self.table.shape[1])


@dataclass(frozen=True, eq=False)
class Half(Stage):
    """One direction of a recurrent node: `reads` is its `RecurrentNode`, `index` its place there."""

    operator: Operator
    source: Numbers
    node: Any
    index: int
    direction: str


@dataclass(frozen=True, eq=False)
class State(Stage):
    """The final cell state of one direction."""

    half: Half


@dataclass(frozen=True, eq=False)
class Select(Stage):
    """The features `source` at the last or the first time; `half` is the direction whose final state they are."""

    operator: Operator
    source: Numbers
    time: str
    half: Half | None = None


@dataclass(frozen=True, eq=False)
class Affine(Stage):
    """A map (out, in), or one number for each feature where it has one axis, and a bias or None."""

    operator: Operator
    source: Numbers
    weight: Any
    bias: Any = None


@dataclass(frozen=True, eq=False)
class Function(Stage):
    """A function of each feature, written with the primitives."""

    operator: Operator
    source: Numbers
    function: Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Norm(Stage):
    """A layer normalisation over the features, with scale and shift; None where it has none."""

    operator: Operator
    source: Numbers
    scale: Any
    shift: Any
    epsilon: float


@dataclass(frozen=True, eq=False)
class Sum(Stage):
    """The sum of two arrays of features."""

    operator: Operator
    source: Numbers
    other: Numbers


@dataclass(frozen=True, eq=False)
class End(Stage):
    """Softmax or LogSoftmax over the features."""

    operator: Operator
    source: Numbers


@dataclass(frozen=True)
class Origin:
    """Where features come from: the stages in the order in which they appear, and for each feature its stage's place
    among them and its column there."""

    stages: tuple[Any, ...]
    places: Numbers
    columns: Numbers

    def of(self, stage: Any) -> Numbers:
        """The columns that come from one stage."""
        return self.columns[self.places == self.stages.index(stage)]


class Features:
    """The numbers that were given out, and the stages that they belong to."""

    def __init__(self) -> None:
        self._starts, self._stages, self._end = list[int](), list[Stage](), 0

    def new(self, stage: Stage, width: int | None = None) -> Numbers:
        """Fresh numbers for the features of a stage."""
        width = stage.width if isinstance(stage, Entry | Lookup) else width or 0
        self._starts.append(self._end)
        self._stages.append(stage)
        self._end += width
        return np.arange(self._end - width, self._end)

    def origin(self, numbers: Numbers) -> Origin:
        """The stages that features come from."""
        every = np.array([bisect_right(self._starts, number) - 1 for number in numbers.tolist()], int)
        order = list(dict.fromkeys(every.tolist()))
        places = np.array([order.index(i) for i in every.tolist()], int)
        starts = np.array(self._starts, int)
        return Origin(tuple(self._stages[i] for i in order), places, numbers - starts[every])
