"""Short names of layers without a state, in `layers` and in the `head` of a network, which writes them out.

>>> LayerNorm(epsilon=1e-3).cell.constants
{'epsilon': 0.001}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.initialisers import Constant, Initialiser, Zeros
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell, cell, is_constant

__all__ = ["FeedForward", "LayerNorm", "RMSNorm", "activated"]


class FeedForward(ABC):
    """A short name of a layer of single steps: what it computes, and how wide it is."""

    initial: Mapping[str, Initialiser]

    @property
    @abstractmethod
    def cell(self) -> Cell:
        """The equations, which have no state."""

    def width(self, inputs: int) -> int:
        """The number of features of the outputs, for so many of the inputs: by default as many."""
        return inputs


@dataclass(frozen=True)
class LayerNorm(FeedForward):
    """Layer normalisation: the features of each step with mean 0 and variance 1, times `p.scale`, plus `p.shift`.

    Ba, Kiros and Hinton (2016), equations 3 and 4; `epsilon` is added to the variance. The scale starts as ones and the
    shift as zeros, unless `initial` says otherwise. Raises NetworkError where `epsilon` is no number of at least 0.
    """

    epsilon: float = 1e-5
    initial: Mapping[str, Initialiser] = field(
        default_factory=lambda: {"p.scale": Constant(1.0), "p.shift": Zeros()}, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        _check_epsilon("LayerNorm", self.epsilon)

    @property
    def cell(self) -> Cell:
        return _published("layer_norm")(epsilon=self.epsilon)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RMSNorm(FeedForward):
    """The features of each step divided by their root mean square, times `p.scale`.

    Zhang and Sennrich (2019), equation 4; `epsilon` is added under the root. The scale starts as ones, unless `initial`
    says otherwise. Raises NetworkError where `epsilon` is no number of at least 0.
    """

    epsilon: float = 1e-6
    initial: Mapping[str, Initialiser] = field(
        default_factory=lambda: {"p.scale": Constant(1.0)}, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        _check_epsilon("RMSNorm", self.epsilon)

    @property
    def cell(self) -> Cell:
        return _published("rms_norm")(epsilon=self.epsilon)  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def activated(activation: Callable[[Any], Any] | None) -> Cell:
    """The equations of a dense layer with an activation, or without one."""
    if activation is None:
        return _published("dense")

    @cell
    def dense(x: Any) -> Any:
        return activation(x.y)

    return dense


def _published(name: str) -> Cell:
    """A published cell; they are imported where one is used, since tracing them all takes time."""
    return getattr(import_module("rnnspec.cells"), name)  # type: ignore[no-any-return]


def _check_epsilon(name: str, epsilon: object) -> None:
    if not is_constant(epsilon) or not epsilon >= 0:  # type: ignore[operator]  # it is a number by then
        raise NetworkError(f"{name}(epsilon)", "epsilon must be a finite number of at least 0", shown(epsilon),
                           "leave it out for the usual one")  # fmt: skip
