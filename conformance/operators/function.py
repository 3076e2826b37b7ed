"""The interface of a framework's functions: they are called with NumPy arrays, and pulled back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnspec.errors import ArgumentError, RnnSpecError

__all__ = ["Called", "Function", "Overwritten", "results"]

Array = Any
Pull = Callable[[Sequence[Array]], dict[str, Array]]
"""From cotangents of all results to those of the arrays that can have one, by parameter."""


@dataclass(frozen=True)
class Called:
    """The results as NumPy arrays, in their order; `pull` is None where none was asked for."""

    results: list[Array]
    pull: Pull | None


class Overwritten(RnnSpecError, AssertionError):
    """An operator wrote into its arguments."""


class Function(ABC):
    """A function of one framework. Arrays of real numbers can be differentiated, others are constants."""

    framework: ClassVar[str]
    has_gradients: ClassVar[bool] = True

    def __init__(self, call: str, function: Callable[..., Any], positional: tuple[str, ...]) -> None:
        self.call, self.function, self.positional = call, function, positional

    @abstractmethod
    def run(self, arrays: Mapping[str, Array], pullback: bool) -> Called:
        """Call the function with arrays by parameter."""

    @abstractmethod
    def version(self) -> str:
        """The framework and its version."""

    def asked(self, arguments: Mapping[str, Any]) -> list[Any]:
        """The results of the function itself, in their order."""
        named = {name: a for name, a in arguments.items() if name not in self.positional}
        return results(self.call, self.function(*(arguments[name] for name in self.positional), **named))


def results(call: str, returned: Any) -> list[Any]:
    """Outputs, and the final states if there are any: `o`, `(o, S)`, `(o, (h, c))`, `(o, {"h": h, "c": c})`."""
    if not isinstance(returned, tuple | list):
        return [returned]
    flat: list[Any] = []
    for part in returned:
        flat += part.values() if isinstance(part, Mapping) else part if isinstance(part, tuple | list) else [part]
    found = [part for part in flat if part is not None]
    if not found or any(not hasattr(part, "shape") for part in found):
        raise ArgumentError(call, "it must return outputs, or outputs and final states",
                            ", ".join(type(part).__name__ for part in flat) or "nothing",
                            "return o, or o, final_state")  # fmt: skip
    return found
