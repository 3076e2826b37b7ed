"""An exported ONNX file, run by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.export import to_onnx
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["OnnxProgram", "onnx_program"]

Array = Any
ERRORS_ONLY = 3


class OnnxProgram:
    """A session of ONNX Runtime on one core."""

    def __init__(self, net: Network, model: bytes) -> None:
        import onnxruntime  # noqa: PLC0415  # the suite runs without it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        self.net = net
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]:
        """As `Program.run`."""
        layers = list(enumerate(self.net.layers))
        given = {"inputs": inputs.astype(np.int64) if inputs.dtype.kind in "iu" else inputs}
        given |= {} if lengths is None else {"lengths": np.asarray(lengths, np.int32)}
        if state is not None:
            given |= {f"state.{i}.{name}": np.stack([state[i][half][name] for half in layer.halves])
                      for i, layer in layers for name in layer.state_shapes}  # fmt: skip
        outputs, *final = self.session.run(None, given)
        ended = iter(final)
        both = [{name: next(ended) for name in layer.state_shapes} for _, layer in layers]
        return outputs, [{half: {name: a[k] for name, a in both[i].items()} for k, half in enumerate(layer.halves)}
                         for i, layer in layers]  # fmt: skip


def onnx_program(net: Network, params: Tree, precision: str) -> OnnxProgram:
    """The program of a network."""
    return OnnxProgram(net, to_onnx(net, params, precision=precision).main)
