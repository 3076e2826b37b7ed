"""A recurrent node of an ONNX graph: its row of the table, its tensors by half, and the options that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from onnx import NodeProto

from rnnspec.convert.assembly import numbers
from rnnspec.convert.layout import Layout, matching_layout
from rnnspec.convert.layouts import ONNX
from rnnspec.convert.onnx_flow import Given, is_zero
from rnnspec.errors import UnsupportedError
from rnnspec.network import DIRECTIONS

__all__ = ["KINDS", "OPERANDS", "RecurrentNode", "shown"]

KINDS = {row.kind for row in ONNX}
OPERANDS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
"""The operands of LSTM in order; RNN and GRU have the first ones only."""
STATES = ("initial_h", "initial_c")
PLAIN = {"clip": None, "input_forget": 0, "layout": 0, "activation_alpha": None, "activation_beta": None}
"""Attributes, and the only values that convert."""


def shown(node: NodeProto) -> str:
    """The text for a node in errors: its name, or its output where it has no name."""
    return f"{node.op_type} {node.name or node.output[0]!r}"


@dataclass(frozen=True)
class RecurrentNode:
    """An RNN, LSTM or GRU node with its attributes and the values of its present operands.

    Raises UnsupportedError, in the name of `call`, where it has what a network of rnnspec cannot have.
    """

    call: str
    node: NodeProto
    options: Mapping[str, Any]
    operands: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, value in PLAIN.items():
            if self.options.get(name, value) != value:
                self._refuse(f"{name} of a recurrent node must be {value}", f"{name}={self.options[name]}",
                             "declare a cell that computes this")  # fmt: skip
        for name in ("sequence_lens", *STATES):
            value = self.operands.get(name)
            if value is not None and not isinstance(value, Given) and not (name in STATES and is_zero(value)):
                self._refuse(f"{name} must be an input of the graph, absent{', or zeros' * (name in STATES)}",
                             "numbers", "make it an input of the graph, and give it to `run`")  # fmt: skip

    @property
    def halves(self) -> tuple[str, ...]:
        """The directions of the node."""
        return DIRECTIONS[self.options.get("direction", "forward")]

    def tensors(self) -> dict[str, dict[str, Any]]:
        """The weights of each half, in float32 or float64."""
        found = {name: self.operands[name] for name in "WRBP" if name in self.operands}
        if not all(isinstance(a, np.ndarray) for a in found.values()) or not {"W", "R"} <= found.keys():
            self._refuse("weights must be initializers", "computed weights", "fold the constants of the graph first")
        arrays = {name: numbers(self.call, name, a) for name, a in found.items()}
        return {half: {name: a[d] for name, a in arrays.items()} for d, half in enumerate(self.halves)}

    def layout(self) -> Layout:
        """Its row of the table."""
        default = next(row.options["activations"] for row in ONNX if row.kind == self.node.op_type)
        every = tuple(self.options.get("activations", default * len(self.halves)))
        own = every[: len(default)]
        if every != own * len(self.halves):
            self._refuse("both directions must have the same activations", f"{every}", "use the same for both")
        options = {"activations": own, "linear_before_reset": self.options.get("linear_before_reset", 0)}
        row = matching_layout(ONNX, self.node.op_type, options, self.operands.keys() & set("WRBP"))
        if row is None:
            self._refuse("activations must be those of a row in docs/convert.md", f"{own}",
                         "declare a cell with these activations")  # fmt: skip
        return row

    def _refuse(self, must: str, got: str, do: str) -> NoReturn:
        raise UnsupportedError(self.call, must, f"{got} in {shown(self.node)}", do)
