"""The backend: what it declares, and how it runs one layer in one direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from rnnspec import Backend, Call, Capabilities, Cell, LayerResult
from rnnspec_onnxruntime.operators import OPERATORS, Operator
from rnnspec_onnxruntime.session import session


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime on the CPU."""

    name = "onnxruntime"
    version = onnxruntime.__version__
    spec_version = "1.0"
    capabilities = Capabilities(cells=tuple(OPERATORS), precisions=("f32",), gradients=False, policies=False)

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self._sessions: dict[tuple[Cell, int], onnxruntime.InferenceSession] = {}

    def layer(self, cell: Cell, params: Any, inputs: Any, state: Any, lengths: Any, call: Call) -> LayerResult:
        operator = OPERATORS[cell]
        steps, batch, _ = inputs.shape
        ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
        first = {name: state[name] for name in operator.states}
        given = {"X": inputs, "lengths": ends.astype(np.int32), **operator.weights(params)}
        given |= {name: h[None] for name, h in first.items()}
        Y, *final = self._session(cell, operator, state["h"].shape[1]).run(None, given)
        # For a row of length 0 ONNX Runtime returns zeros; the specification wants the initial state.
        ended = {name: np.where(ends[:, None] > 0, h[0], first[name]) for name, h in zip(first, final, strict=True)}
        return LayerResult(Y[:, 0], ended, f"native {operator.kind} of ONNX Runtime")

    def _session(self, cell: Cell, operator: Operator, hidden: int) -> onnxruntime.InferenceSession:
        if (cell, hidden) not in self._sessions:
            self._sessions[cell, hidden] = session(operator, hidden)
        return self._sessions[cell, hidden]
