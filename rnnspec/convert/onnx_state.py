"""What is known while an ONNX graph is followed: sizes, features, notes, and what a value is."""

from __future__ import annotations

from typing import Any

from rnnspec.convert.assembly import numbers
from rnnspec.convert.conversion import Note, PlacedNote
from rnnspec.convert.onnx_features import Entry, Features, Stage
from rnnspec.convert.onnx_flow import Flow, Known, NotFollowed, Sizes
from rnnspec.convert.onnx_operator import Operator
from rnnspec.errors import ShapeError

__all__ = ["Reading"]


class Reading:
    """The state of a graph that is being followed, which the readers of operators ask and add to.

    `time` and `batch` are the axes of the first recurrent node that was read, `lengths` the name of its rows' lengths,
    or the empty name.
    """

    def __init__(self, call: str, dequantise: bool, sizes: Sizes) -> None:
        self.call, self.dequantise, self.sizes = call, dequantise, sizes
        self.features, self.notes = Features(), list[PlacedNote]()
        self.time: Any = None
        self.batch: Any = None
        self.lengths = ""
        self.has_layers = False
        self.initials: list[Any] = []
        self._bound: dict[tuple[str, int, int], Any] = {}

    def bound(self, flow: Flow, axis: int, width: int) -> Flow | None:
        """The flow of an input with features of this width along an axis; any other flow as it is."""
        if not self.is_whole(flow) or not flow.axes:
            return flow
        axis %= len(flow.axes)
        own, (entry,) = flow.axes[axis], self.features.origin(flow.numbers.ravel()).stages
        if own is None or len(own) > 1:
            return None
        if own and not self.sizes.is_free(own) and self.sizes.of(own) != width:
            raise ShapeError(self.call, f"{entry.name} must have the features that the graph reads of it, {width}",
                             f"{self.sizes.of(own)}", "give a valid model")  # fmt: skip
        place = int(own[0].rpartition(".")[2]) if own else -1
        key = (entry.name, place, width)
        if key not in self._bound:
            self._bound[key] = self.features.new(Entry(entry.name, place, width))
        numbers = self._bound[key].reshape([width if i == axis else 1 for i in range(len(flow.axes))])
        return flow.moved(numbers, [None if i == axis else each for i, each in enumerate(flow.axes)])

    def staged(self, flow: Flow, stage: Stage) -> Flow:
        """The flow of a stage that gives a feature for each of this one.

        Raises NotFollowed where nothing says yet which axis has features.
        """
        if self.is_whole(flow):
            raise NotFollowed("it computes on an input that no map has read yet")
        return flow.moved(self.features.new(stage, flow.numbers.size).reshape(flow.numbers.shape), flow.axes)

    def is_input(self, value: Any) -> bool:
        """Whether a value is an input, or part of one or several."""
        if not isinstance(value, Flow):
            return False
        return all(isinstance(stage, Entry) for stage in self.features.origin(value.numbers.ravel()).stages)

    def is_whole(self, value: Any) -> bool:
        """Whether a value is one input, along none of whose axes features lie yet."""
        return self.is_input(value) and value.numbers.size == 1 and all(
            stage.axis is None for stage in self.features.origin(value.numbers.ravel()).stages)  # fmt: skip

    def input_of(self, value: Any) -> str:
        """The name of the one input that a value is, or the empty name."""
        if not self.is_input(value):
            return ""
        names = {stage.name for stage in self.features.origin(value.numbers.ravel()).stages}
        return str(names.pop()) if len(names) == 1 else ""

    def weight(self, operator: Operator, value: Any) -> Any:
        """The numbers of a value that is read as weights, or None where it is none."""
        if not isinstance(value, Known) or value.free:
            return None
        if value.quantised is not None:
            self.quantised()
        kind = value.array.dtype.name
        return numbers(self.call, str(operator), value.array) if "float" in kind else None

    def quantised(self) -> None:
        """Note that weights are whole numbers with a scale; raise NotFollowed where they were not asked for."""
        if not self.dequantise:
            raise NotFollowed("its weights are quantised (int8)", "take the float model, or write dequantise=True to "
                              "read the numbers that they stand for")  # fmt: skip
        self.note("", Note.QUANTISED, "")

    def note(self, place: str, what: Note, detail: str) -> None:
        """Add a note once."""
        note = PlacedNote(place, what, detail)
        if note not in self.notes:
            self.notes.append(note)
