"""Choices between ways to compute the same, which a backend makes by measurement and never by a processor's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Choice"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Choice(Generic[T]):
    """A question and the options that answer it; the first is taken where nothing is measured.

    `call(option)` prepares the work of a typical size by which options are compared: a call without arguments, whose
    result is computed when it returns. `conditions()` names everything that the answer may depend on, such as the
    processor, the versions of libraries and the number of threads. `decide(choice)` is the name of the option that this
    process takes, the same at every call.
    """

    name: str
    question: str
    options: Mapping[str, T]
    call: Callable[[T], Callable[[], object]]
    conditions: Callable[[], Mapping[str, str]]
    decide: Callable[[Choice[Any]], str]

    @property
    def default(self) -> str:
        """The option that is taken where nothing is measured."""
        return next(iter(self.options))

    @property
    def taken(self) -> str:
        """The name of the option that this process takes."""
        return self.decide(self)
