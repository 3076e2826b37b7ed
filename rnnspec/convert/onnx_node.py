"""A recurrent node of an ONNX graph: the variant and the tensors of each of its directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.convert.onnx_cells import GATES, Variant
from rnnspec.convert.onnx_functions import ACTIVATIONS
from rnnspec.convert.onnx_operator import Operator
from rnnspec.layer import DIRECTIONS

__all__ = ["OPERANDS", "USUAL", "RecurrentNode"]

OPERANDS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
"""The operands of LSTM in order; RNN and GRU have the first ones only."""
USUAL = {"RNN": ("Tanh",), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
"""The activations of each operator where it names none."""
ATTRIBUTES = {"activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout",
              "input_forget", "linear_before_reset", "output_sequence"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RecurrentNode:
    """An RNN, LSTM or GRU with its weights: `weights` has W and R, and where the node has them B and P.

    Raises ValueError, with the attribute, where an attribute is not one of the operator's text.
    """

    operator: Operator
    kind: str
    weights: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = sorted(self.operator.options.keys() - ATTRIBUTES)
        if unknown:
            raise ValueError(f"the attribute {unknown[0]}")
        for row in range(len(self.directions)):
            self.variant(row)

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions of the node, forward first."""
        return DIRECTIONS[self.operator.option("direction", "forward")]

    @property
    def batch_first(self) -> bool:
        """Whether the steps stand as (batch, time, feature), and states as (batch, direction, feature)."""
        return bool(self.operator.option("layout", 0))

    @property
    def width(self) -> int:
        """The width of the hidden state."""
        return int(self.weights["R"].shape[2])

    @property
    def inputs(self) -> int:
        """The number of features that it reads at a step."""
        return int(self.weights["W"].shape[2])

    def variant(self, index: int) -> Variant:
        """The variant of one direction."""
        usual, option = USUAL[self.kind], self.operator.option
        names = option("activations") or [*usual] * len(self.directions)
        if len(names) != len(usual) * len(self.directions):
            raise ValueError(f"{len(names)} activations for {len(self.directions)} directions")
        every = _with_options(names, option("activation_alpha") or (), option("activation_beta") or ())
        own = every[index * len(usual):(index + 1) * len(usual)]
        clip = option("clip") or None
        return Variant(self.kind, tuple(own), clip, bool(option("input_forget", 0)),
                       bool(option("linear_before_reset", 0)) and self.kind == "GRU", "P" in self.weights)  # fmt: skip

    def tensors(self, index: int) -> dict[str, Any]:
        """The weights of one direction by the names of its row, without the gates that its cell does not read."""
        order, kept = GATES[self.kind], self.variant(index).gates
        own = {name: array[index] for name, array in self.weights.items()}
        if order == kept:
            return own
        return {name: _gates(array, order.replace("g", "") if name == "P" else order, kept)
                for name, array in own.items()}  # fmt: skip


def _gates(array: Any, order: str, kept: str) -> Any:
    """The blocks of the gates that are kept; a bias has two of each."""
    times = 2 if array.ndim == 1 and "g" in order else 1
    blocks = np.split(array, len(order) * times)
    return np.concatenate([block for gate, block in zip(order * times, blocks, strict=True) if gate in kept])


def _with_options(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
    """Each activation with its options, which the node gives one after the other to those that have them."""
    left, found = {"alpha": list(alphas), "beta": list(betas)}, []
    known = {name.lower(): name for name in ACTIVATIONS}
    for name in names:
        if name.lower() not in known:
            raise ValueError(f"the activation {name}")
        own = known[name.lower()]
        defaults = ACTIVATIONS[own].defaults
        given = {option: left[option].pop(0) for option in defaults if left[option]}
        missing = [option for option, value in defaults.items() if value is None and option not in given]
        if missing:
            raise ValueError(f"the activation {name} without {' and '.join(missing)}")
        found.append((own, tuple(given.items())))
    return found
