"""What a side must say of its things so that they can be judged, and what one that runs is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from rnnspec.convert.layout import Layout

__all__ = ["Family", "Pull", "Ran", "Size", "Subject"]

Array = Any
Tensors = Mapping[str, Array]
States = Mapping[str, Array]
Pull = Callable[[Array, States], tuple[dict[str, Array], Array, dict[str, Array]]]
"""From cotangents of the outputs and final states to those of the tensors, the inputs and the initial states."""


@dataclass(frozen=True)
class Size:
    """One layer in one direction: its inputs, `hidden` as of a `Layer`, `forward` or `reverse`, and the precision."""

    inputs: int
    hidden: int | Mapping[str, int]
    half: str
    precision: str

    @property
    def width(self) -> int:
        """The width of what is inside the cell: of `c` where that of `h` is another."""
        return self.hidden if isinstance(self.hidden, int) else self.hidden["c"]


@dataclass(frozen=True)
class Ran:
    """What a thing gave, NumPy's arrays in the order of time; `pull` is None where none was asked for."""

    outputs: Array
    state: dict[str, Array]
    pull: Pull | None


class Subject(Protocol):
    """One thing of one size and precision, in one direction; `programs` is how many were compiled for it."""

    @property
    def programs(self) -> int:
        """How many programs were compiled."""
        ...

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        """Write the tensors into the thing and call it.

        `inputs` (time, batch, feature) in the order of time; states (batch, width) by name; whatever the thing itself
        makes of padding stays.
        """
        ...


class Family(ABC):
    """A side: which things are its own, how one is made, and what one has."""

    framework: ClassVar[str]
    kind: ClassVar[type[Any]]
    table: ClassVar[Sequence[Layout]]
    precisions: ClassVar[tuple[str, ...]] = ("f32", "f64")
    has_gradients: bool = True
    is_compiled: bool = False
    """Whether every new shape costs a program."""

    @abstractmethod
    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        """A thing of a class of this side; `options` are those that the side's own class takes for the cell."""

    @abstractmethod
    def directions(self, made: type[Any]) -> tuple[str, ...]:
        """The directions for which `construct` makes things of a class."""

    @abstractmethod
    def halves(self, thing: Any) -> tuple[str, ...]:
        """The halves that one thing has."""

    @abstractmethod
    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        """The thing's own tensors by the row's names. Raises TreeError, saying what is needed, where it has others."""

    @abstractmethod
    def has_lengths(self, thing: Any) -> bool:
        """Whether the thing takes rows of different lengths."""

    def has_empty_rows(self, thing: Any) -> bool:
        """Whether it takes rows of length 0."""
        return True

    @abstractmethod
    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> Subject:
        """The thing, ready to run."""

    def making(self, precision: str) -> AbstractContextManager[Any]:
        """Where things of a precision are made."""
        return nullcontext()

    def ready(self, thing: Any, size: Size) -> Any:
        """A thing that was made, its parameters there."""
        return thing

    def own_precisions(self, thing: Any) -> tuple[str, ...]:
        """The precisions in which one thing that is there can run."""
        return self.precisions

    def environment(self) -> dict[str, str]:
        """The environment variables that decide what a thing is."""
        return {}

    @abstractmethod
    def version(self) -> str:
        """The framework and its version."""
