"""The kinds of noise that a network can declare. A call with a key has it; a call without a key has its expectation.

>>> Zoneout({"c": 0.5, "h": 0.05})
Zoneout(rate=(('c', 0.5), ('h', 0.05)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.noise.lifetimes import LIFETIMES, Lifetime, PerStep
from rnnspec.showing import shown

__all__ = ["KINDS", "Dropout", "GateDropout", "Noise", "WeightDrop", "Zoneout"]

EACH = PerStep()

Rates = float | Mapping[str, float] | tuple[tuple[str, float], ...]


class Noise:
    """A kind of noise of a layer."""


@dataclass(frozen=True)
class Dropout(Noise):
    """Srivastava et al. (2014): each feature is 0 with probability `rate`, else it is multiplied by 1 / (1 - rate).

    In `layers` or `head` of a network it acts on what comes in; as `Layer(..., noise=Dropout(rate))` on the inputs of
    that layer. With `masks=PerSequence()` a row has one mask for all its steps, as in Gal and Ghahramani (2016). A call
    without a key changes nothing: that is the expectation. Raises NetworkError where an argument is not valid.
    """

    rate: float
    masks: Lifetime = EACH

    def __post_init__(self) -> None:
        _check_rate("Dropout(...)", self.rate)
        _check_masks("Dropout(...)", self.masks)


@dataclass(frozen=True)
class GateDropout(Noise):
    """Semeniuta et al. (2016): dropout of one gate within the equations, such as the candidate `g` of an LSTM.

    `gate` is the name of a map, and what is dropped is the value of the first function that reads its sum: of tanh(x.g
    + R.g(h)) for "g". What is kept is multiplied by 1 / (1 - rate), where the paper multiplies by 1 - rate without
    noise. Raises NetworkError where an argument is not valid.
    """

    gate: str
    rate: float
    masks: Lifetime = EACH

    def __post_init__(self) -> None:
        call = "GateDropout(...)"
        if not isinstance(self.gate, str):
            raise NetworkError(call, "gate must be the name of a map", shown(self.gate), "write the g of x.g as 'g'")
        _check_rate(call, self.rate)
        _check_masks(call, self.masks)


@dataclass(frozen=True)
class WeightDrop(Noise):
    """Merity et al. (2018), DropConnect of the recurrent maps: each entry of every `U` is 0 with probability `rate`.

    Other entries are multiplied by 1 / (1 - rate). All rows and steps of a call share the mask, which depends on the
    seed of the key alone. Raises NetworkError where an argument is not valid.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate("WeightDrop(...)", self.rate)


@dataclass(frozen=True)
class Zoneout(Noise):
    """Krueger et al. (2017): each entry of a state keeps its old value at a step, with probability `rate`.

    `rate` is one number for all states, or `{state: rate}`; other states are left alone. A call without a key has the
    expectation of the paper, rate * old + (1 - rate) * new. Raises NetworkError where an argument is not valid.
    """

    rate: Rates

    def __post_init__(self) -> None:
        call, given = "Zoneout(...)", self.rate
        pairs = given.items() if isinstance(given, Mapping) else given if isinstance(given, tuple) else None
        if pairs is None:
            _check_rate(call, given)
            return
        for name, rate in pairs:
            if not isinstance(name, str):
                raise NetworkError(call, "rate must map names of states to rates", shown(name), "write {'h': 0.1}")
            _check_rate(call, rate)
        object.__setattr__(self, "rate", tuple(sorted(pairs)))

    def rates(self, states: tuple[str, ...]) -> dict[str, float]:
        """The rate of each state that has one above 0."""
        named = dict(self.rate) if isinstance(self.rate, tuple) else dict.fromkeys(states, self.rate)
        return {name: rate for name, rate in named.items() if rate > 0}  # type: ignore[operator,misc]


KINDS = (Dropout, GateDropout, WeightDrop, Zoneout)


def _check_rate(call: str, rate: Any) -> None:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise NetworkError(call, "rate must be a number from 0 to below 1", shown(rate),
                           "give the share that is dropped, such as 0.5")  # fmt: skip


def _check_masks(call: str, masks: Any) -> None:
    if type(masks) not in LIFETIMES:
        raise NetworkError(call, "masks must be PerStep() or PerSequence()", shown(masks), "choose one of them")
