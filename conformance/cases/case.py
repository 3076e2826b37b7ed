"""A case: one question to a backend, from which every number follows; its repr is the code that makes it again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from conformance.oracle.calls import Batch
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["Arrays", "Case", "Planted", "Pull", "window"]


class Pull(Enum):
    """What the cotangents are on."""

    BOTH = "outputs and final states"
    OUTPUTS = "outputs alone"
    STATES = "final states alone"
    ONE = "one element of the outputs"


@dataclass(frozen=True)
class Planted:
    """A value that is put into all input features of one row at one step."""

    step: int
    row: int
    value: float


@dataclass(frozen=True)
class Arrays:
    """All numbers of a case, in one precision. `lengths` is None or int64 (batch,)."""

    params: Tree
    inputs: Any
    state: Tree
    lengths: Any
    output_cotangent: Any
    state_cotangent: Tree
    targets: Any


@dataclass(frozen=True)
class Case:
    """One question. `scale` is that of the weights, over sqrt(hidden); `padding` stands wherever padding can stand.

    `lengths=None` calls without lengths. `targets` are None where the network has no loss.
    """

    net: Network
    steps: int
    batch: int
    lengths: tuple[int, ...] | None = None
    seed: int = 0
    scale: float = 1.0
    pull: Pull = Pull.BOTH
    padding: float = 0.0
    planted: tuple[Planted, ...] = ()

    def arrays(self, precision: str = "f64") -> Arrays:
        """The numbers, rounded to a precision."""
        raise NotImplementedError

    def batches(self, count: int, precision: str = "f64") -> list[Batch]:
        """As many batches for training: the first is the case's own, the others are of the same shape and lengths."""
        raise NotImplementedError

    def code(self) -> str:
        """Lines of Python that make this case again, imports included; the last assigns it to `case`."""
        raise NotImplementedError


def window(array: Any, lengths: Any, start: int, stop: int) -> tuple[Any, Any]:
    """The steps start..stop of a `(time, batch, ...)` array at the same padded shape, and the rows' lengths in them.

    A compiled program serves it unchanged: the steps are moved to the front, and what is behind a row's end is 0.
    """
    raise NotImplementedError
