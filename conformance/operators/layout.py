"""The order of the axes of an operator's arrays, as plain data.

A layout maps names to axes, words with spaces between them: `{"inputs": "batch time heads width"}`. `inputs` are all
x.name, `outputs` and `states` the results; any parameter can have an entry of its own, which may also say what it is:
`{"g": "x.a: batch time heads width", "h0": "S: batch heads columns rows"}`. `multiples` says which sizes an operator
needs: `{"multiples": "time 16, width 16"}`.

>>> layout = Layout({"inputs": "batch time heads width"})
>>> layout.arranged("x.q", np.zeros((7, 5, 2, 3))).shape
(5, 7, 2, 3)
>>> layout.canonical("x.q", np.zeros((5, 7, 2, 3))).shape
(7, 5, 2, 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnspec.errors import ArgumentError

__all__ = ["OUTPUTS", "Layout", "Misshapen", "kind_of"]

OUTPUTS = "outputs"
WORDS = ("time", "batch", "heads", "width", "rows", "columns", "1")
CANONICAL = {
    "x": ("time", "batch", "heads", "width"),
    "p": ("heads", "width"),
    "P": ("heads", "rows", "columns"),
    "s": ("batch", "heads", "width"),
    "S": ("batch", "heads", "rows", "columns"),
    "lengths": ("batch",),
    "resets": ("time", "batch"),
}
"""The axes of each kind of array between the suite and a layout; heads are one where there are none."""
DEFAULTS = {"x": "inputs", "S": "states"}
"""The entries that hold for all arrays of a kind."""


class Misshapen(ArgumentError, AssertionError):
    """An operator returned an array of other axes than its layout says."""


def kind_of(quantity: str, rank: int = 1) -> str:
    """The kind of array that a quantity is, of a rank where it is learned or a state."""
    if quantity in CANONICAL and quantity != "x":
        return quantity
    if quantity in (OUTPUTS, "x") or quantity.startswith("x."):
        return "x"
    if quantity.startswith("R."):
        return "P"
    letter = "p" if quantity.startswith("p.") else "s"
    return letter.upper() if rank > 1 else letter


@dataclass(frozen=True)
class Layout:
    """The axes of every array; `ranks` are those of states and of `p.name`, and `names` what a parameter is."""

    entries: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    call: str = "Layout(...)"

    def __post_init__(self) -> None:
        for name, text in self.entries.items():
            words = text.replace(",", " ").split() if name == "multiples" else self._own(name).split()
            unknown = [word for word in words if word not in WORDS and not (name == "multiples" and word.isdecimal())]
            if unknown:
                raise ArgumentError(self.call, f"axes must be of {', '.join(WORDS)}", f"{unknown[0]!r} of {name!r}",
                                    'write {"inputs": "batch time heads width"}')  # fmt: skip

    @property
    def has_heads(self) -> bool:
        """Whether inputs have an axis for heads."""
        return any("heads" in self._own(name).split() for name in self.entries if name != "multiples")

    @property
    def multiples(self) -> dict[str, int]:
        """The axes whose sizes must be multiples of a number."""
        words = self.entries.get("multiples", "").replace(",", " ").split()
        return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}

    def meant(self, parameter: str) -> str:
        """What an entry says that a parameter is, or the empty string."""
        text = self.entries.get(parameter, "")
        return text.partition(":")[0].strip() if ":" in text else ""

    def axes(self, quantity: str, parameter: str = "") -> tuple[str, ...]:
        """The axes of an array."""
        kind = kind_of(quantity, self.ranks.get(quantity, 1))
        for name in (parameter, quantity, quantity.partition(".")[2], DEFAULTS.get(kind, "")):
            own = self._own(name) if name else ""
            if own:
                return tuple(own.split())
        if quantity == OUTPUTS and self._own("inputs"):
            return tuple(self._own("inputs").split())
        return tuple(word for word in CANONICAL[kind] if word != "heads" or self.has_heads)

    def arranged(self, quantity: str, a: Any, parameter: str = "") -> Any:
        """A view of an array with the operator's axes; raises ArgumentError where an axis is missing that it needs."""
        axes, own = self.axes(quantity, parameter), CANONICAL[kind_of(quantity, self.ranks.get(quantity, 1))]
        for axis, (word, size) in reversed(list(enumerate(zip(own, np.shape(a), strict=True)))):
            if word not in axes:
                if size != 1:
                    raise ArgumentError(self.call, f"the axes of {quantity} must have {word}", " ".join(axes),
                                        f"add {word} to its layout")  # fmt: skip
                a = np.squeeze(a, axis)
        left = [word for word in own if word in axes]
        turned = np.transpose(a, [left.index(word) for word in axes if word != "1"])
        return np.expand_dims(turned, [i for i, word in enumerate(axes) if word == "1"])

    def canonical(self, quantity: str, a: Any, parameter: str = "") -> Any:
        """The inverse of `arranged`; raises Misshapen where the array has another number of axes."""
        axes, own = self.axes(quantity, parameter), CANONICAL[kind_of(quantity, self.ranks.get(quantity, 1))]
        if np.ndim(a) != len(axes):
            raise Misshapen(self.call, f"{quantity} must have the axes {' '.join(axes)}", f"shape {np.shape(a)}",
                            "correct its entry in the layout")  # fmt: skip
        a = np.squeeze(a, tuple(i for i, word in enumerate(axes) if word == "1"))
        left = [word for word in axes if word != "1"]
        turned = np.transpose(a, [left.index(word) for word in own if word in left])
        return np.expand_dims(turned, [i for i, word in enumerate(own) if word not in left])

    def _own(self, name: str) -> str:
        """The axes that an entry gives, or the empty string."""
        text = self.entries.get(name, "")
        return text.rpartition(":")[2].strip() if name != "multiples" else ""
