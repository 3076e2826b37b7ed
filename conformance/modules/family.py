"""The interface of a framework's adapter, and of a running module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from conformance.modules.form import Form
from rnnspec.convert.layout import Layout
from rnnspec.errors import RnnSpecError

__all__ = ["Family", "Overwritten", "Pull", "Ran", "Size", "Subject"]

Array = Any
Tensors = Mapping[str, Array]
States = Mapping[str, Array]
Pull = Callable[[Array, States], tuple[dict[str, Array], Array, dict[str, Array]]]
"""From cotangents of the outputs and final states to those of the tensors, the inputs and the initial states."""


@dataclass(frozen=True)
class Size:
    """The size of one layer in one direction: inputs, `hidden` as in `Layer`, `forward` or `reverse`, and precision."""

    inputs: int
    hidden: int | Mapping[str, int]
    half: str
    precision: str

    @property
    def width(self) -> int:
        """The inner width of the cell: that of `c` where `h` has another."""
        return self.hidden if isinstance(self.hidden, int) else self.hidden["c"]


class Overwritten(RnnSpecError, AssertionError):
    """A module wrote into its arguments."""


@dataclass(frozen=True)
class Ran:
    """The results of a module as NumPy arrays in time order; `pull` is None without a pullback."""

    outputs: Array
    state: dict[str, Array]
    pull: Pull | None


class Subject(Protocol):
    """A running module of one size and precision, in one direction; `programs` counts compiled programs."""

    @property
    def programs(self) -> int:
        """The number of compiled programs."""
        ...

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        """Write the tensors into the module and call it.

        `inputs` are (time, batch, feature) in time order, states (batch, width) by name. The results at padded steps
        are not corrected.
        """
        ...


class Family(ABC):
    """The adapter of a framework: it recognises, makes and describes modules."""

    framework: ClassVar[str]
    kind: ClassVar[type[Any]]
    table: ClassVar[Sequence[Layout]]
    precisions: ClassVar[tuple[str, ...]] = ("f32", "f64")
    has_gradients: bool = True
    is_compiled: bool = False
    """Whether every new shape compiles a program."""
    spot_checks: bool = True
    """Whether some gradients are taken again, and with a frozen parameter."""
    has_forms: ClassVar[bool] = False
    form: Form | None = None
    """How modules are called, where it is not as the framework's own."""

    @abstractmethod
    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        """A module of a class; `options` are those of the framework's own class for the cell."""

    def own_form(self, thing: Any, states: tuple[str, ...]) -> str:
        """The form in which the framework calls a module or class with these states, where it is no layer of it."""
        return ""

    @abstractmethod
    def directions(self, made: type[Any]) -> tuple[str, ...]:
        """The directions in which `construct` makes modules of a class."""

    @abstractmethod
    def halves(self, thing: Any) -> tuple[str, ...]:
        """The halves of a module."""

    @abstractmethod
    def names(self, thing: Any) -> list[str]:
        """The names of the module's parameters."""

    @abstractmethod
    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        """The module's tensors by the row's names; raises TreeError where it has others."""

    @abstractmethod
    def has_lengths(self, thing: Any) -> bool:
        """Whether the module takes rows of different lengths."""

    def has_empty_rows(self, thing: Any) -> bool:
        """Whether the module takes rows of length 0."""
        return True

    @abstractmethod
    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> Subject:
        """The running module."""

    def making(self, precision: str) -> AbstractContextManager[Any]:
        """The context in which modules of a precision are made."""
        return nullcontext()

    def ready(self, thing: Any, size: Size) -> Any:
        """A new module with its parameters created."""
        return thing

    def copied(self, thing: Any) -> Any:
        """A module like the user's, whose weights can be replaced."""
        return thing

    def own_precisions(self, thing: Any) -> tuple[str, ...]:
        """The precisions in which a given module can run."""
        return self.precisions

    def environment(self) -> dict[str, str]:
        """The environment variables that a module depends on."""
        return {}

    @abstractmethod
    def version(self) -> str:
        """The framework and its version."""
