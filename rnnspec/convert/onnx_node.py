"""A recurrent node of an ONNX graph: which row of the table it is, its tensors by half, and what it may not have."""

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
"""The operands of LSTM in their order; those of RNN and GRU end before."""
STATES = ("initial_h", "initial_c")
PLAIN = {"clip": None, "input_forget": 0, "layout": 0, "activation_alpha": None, "activation_beta": None}
"""Attributes that must be as they are here."""


def shown(node: NodeProto) -> str:
    """A node as errors name it, by its output where it has no name."""
    return f"{node.op_type} {node.name or node.output[0]!r}"


@dataclass(frozen=True)
class RecurrentNode:
    """An RNN, LSTM or GRU with its attributes and the values of its operands, those that are there.

    What a network here cannot have raises UnsupportedError for `call`.
    """

    call: str
    node: NodeProto
    options: Mapping[str, Any]
    operands: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, value in PLAIN.items():
            if self.options.get(name, value) != value:
                self._refuse(f"{name} of a recurrent node must be {value}", f"{name}={self.options[name]}",
                             "declare a cell of your own with it")  # fmt: skip
        for name in ("sequence_lens", *STATES):
            value = self.operands.get(name)
            if value is not None and not isinstance(value, Given) and not (name in STATES and is_zero(value)):
                self._refuse(f"{name} must be an input of the graph, absent{', or zeros' * (name in STATES)}",
                             "numbers", "make it an input, and give it when the network runs")  # fmt: skip

    @property
    def halves(self) -> tuple[str, ...]:
        """The directions in which it runs."""
        return DIRECTIONS[self.options.get("direction", "forward")]

    def tensors(self) -> dict[str, dict[str, Any]]:
        """The weights of each half, in float32 or float64."""
        found = {name: self.operands[name] for name in "WRBP" if name in self.operands}
        if not all(isinstance(a, np.ndarray) for a in found.values()) or not {"W", "R"} <= found.keys():
            self._refuse("weights must be initializers", "others", "fold the constants first")
        arrays = {name: numbers(self.call, name, a) for name, a in found.items()}
        return {half: {name: a[d] for name, a in arrays.items()} for d, half in enumerate(self.halves)}

    def layout(self) -> Layout:
        """Its row of the table."""
        default = next(row.options["activations"] for row in ONNX if row.kind == self.node.op_type)
        every = tuple(self.options.get("activations", default * len(self.halves)))
        own = every[: len(default)]
        if every != own * len(self.halves):
            self._refuse("both halves must have the same activations", f"{every}", "use one for both")
        options = {"activations": own, "linear_before_reset": self.options.get("linear_before_reset", 0)}
        row = matching_layout(ONNX, self.node.op_type, options, self.operands.keys() & set("WRBP"))
        if row is None:
            self._refuse("activations must be those of a cell in the tables", f"{own}",
                         "declare a cell of your own with them")  # fmt: skip
        return row

    def _refuse(self, must: str, got: str, do: str) -> NoReturn:
        raise UnsupportedError(self.call, must, f"{got} in {shown(self.node)}", do)
