"""The operators RNN, GRU and LSTM of ONNX: which cell each is, and where it keeps the cell's maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnspec import Cell, cells


@dataclass(frozen=True)
class Operator:
    """`gates` is the order of a cell's maps in the rows of W, R and B; `peepholes` that of P.

    `inner` are the vectors that belong to the second half of B, which is added to what R gives.
    """

    kind: str
    gates: str
    states: tuple[str, ...] = ("h",)
    inner: str = ""
    peepholes: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def weights(self, params: Any) -> dict[str, Any]:
        """The operator's own tensors, with an axis for the direction in front."""
        W, U, b, p = (params.get(kind, {}) for kind in "WUbp")
        first = [b[gate] for gate in self.gates]
        second = [p[gate] if gate in self.inner else np.zeros_like(b[gate]) for gate in self.gates]
        tensors = {
            "W": [W[gate] for gate in self.gates],
            "R": [U[gate] for gate in self.gates],
            "B": first + second,
            "P": [p[gate] for gate in self.peepholes],
        }
        return {name: np.concatenate(maps)[None] for name, maps in tensors.items() if maps}


OPERATORS: dict[Cell, Operator] = {
    cells.elman: Operator("RNN", "h"),
    cells.gru: Operator("GRU", "zrn", inner="n", options={"linear_before_reset": 1}),
    cells.gru_reset_before: Operator("GRU", "zrn"),
    cells.lstm: Operator("LSTM", "iofg", ("h", "c")),
    cells.lstm_peephole: Operator("LSTM", "iofg", ("h", "c"), peepholes="iof"),
}
