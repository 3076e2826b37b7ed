"""The adapter of ONNX models with one recurrent node, which ONNX Runtime runs on the CPU.

The graph's inputs are the steps (time, batch, feature), perhaps the lengths, and the initial states; its outputs are
all steps and the final states. Time and batch must be free. There are no gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from conformance.modules.family import Array, Family, Ran, Size, States, Tensors
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import ONNX
from rnnspec.errors import ArgumentError, TreeError
from rnnspec.layer import DIRECTIONS

__all__ = ["OnnxModels"]

KINDS = {row.kind for row in ONNX}
OPERANDS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


class OnnxModels(Family):
    """onnx.ModelProto."""

    framework = "onnx"
    kind = ModelProto
    table = ONNX
    precisions = ("f32",)
    has_gradients = False

    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        raise TypeError("an onnx.ModelProto cannot be made from its class: give a factory or a file")

    def directions(self, made: type[Any]) -> tuple[str, ...]:
        return ("forward",)

    def halves(self, thing: Any) -> tuple[str, ...]:
        return DIRECTIONS[_direction(thing)]

    def names(self, thing: Any) -> list[str]:
        return [i.name for i in thing.graph.initializer]

    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        index = self.halves(thing).index(half)
        return {name: a[index] for name, a in _weights(call, thing, row).items()}

    def has_lengths(self, thing: Any) -> bool:
        return any(_is_integer(given) for given in _inputs(thing))

    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> _Subject:
        return _Subject(call, thing, row, self.halves(thing).index(size.half))

    def version(self) -> str:
        import onnxruntime  # noqa: PLC0415  # a model can be read without it

        return f"onnxruntime {onnxruntime.__version__}"


class _Subject:
    programs = 0

    def __init__(self, call: str, model: ModelProto, row: Layout, index: int) -> None:
        self._call, self._row, self._index = call, row, index
        self._model = ModelProto()
        self._model.CopyFrom(model)
        names = [given.name for given in _inputs(model) if not _is_integer(given)]
        self._steps, self._states = names[0], names[1:]
        self._lengths = next((given.name for given in _inputs(model) if _is_integer(given)), None)
        self._halves = len(DIRECTIONS[_direction(model)])

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        if len(self._states) != len(state) or len(self._model.graph.output) != len(state) + 1:
            raise ArgumentError(self._call, f"the graph must take the initial states {', '.join(state)} after its "
                                "steps, and return the final states after its outputs", f"inputs {self._states} and "
                                f"{len(self._model.graph.output)} outputs",
                                "export the model with these inputs and outputs")  # fmt: skip
        steps, batch = inputs.shape[:2]
        feed = {self._steps: inputs} | dict(zip(self._states, map(self._stacked, state.values()), strict=True))
        if self._lengths:
            feed[self._lengths] = np.asarray(np.full(batch, steps) if lengths is None else lengths, np.int32)
        outputs, *final = self._session(tensors).run(None, feed)
        outputs = outputs.reshape(steps, batch, self._halves, -1)[:, :, self._index]
        return Ran(outputs, {name: a[self._index] for name, a in zip(state, final, strict=True)}, None)

    def _stacked(self, a: Array) -> Array:
        """A state of this half, with zeros for the other half."""
        return np.stack([a if i == self._index else np.zeros_like(a) for i in range(self._halves)])

    def _session(self, tensors: Tensors) -> Any:
        import onnxruntime  # noqa: PLC0415

        names = dict(zip(OPERANDS, _node(self._model).input, strict=False))
        for name, array in tensors.items():
            held = next(i for i in self._model.graph.initializer if i.name == names[name])
            whole = numpy_helper.to_array(held).copy()
            whole[self._index] = array
            held.CopyFrom(numpy_helper.from_array(whole, held.name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(self._model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])  # fmt: skip


def _node(model: ModelProto) -> Any:
    return next((node for node in model.graph.node if node.op_type in KINDS), None)


def _direction(model: ModelProto) -> str:
    node = _node(model)
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} if node else {}
    return str(given.get("direction", b"forward").decode())


def _inputs(model: ModelProto) -> list[Any]:
    held = {i.name for i in model.graph.initializer}
    return [given for given in model.graph.input if given.name not in held]


def _is_integer(given: Any) -> bool:
    return given.type.tensor_type.elem_type in (TensorProto.INT32, TensorProto.INT64)


def _weights(call: str, model: ModelProto, row: Layout) -> dict[str, Array]:
    nodes = [node for node in model.graph.node if node.op_type in KINDS]
    if len(nodes) != 1 or nodes[0].op_type != row.kind:
        raise TreeError(call, f"the graph must have one recurrent node, {row.kind}",
                        ", ".join(node.op_type for node in nodes) or "none", "give a model of one layer")  # fmt: skip
    held = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    given = dict(zip(OPERANDS, nodes[0].input, strict=False))
    found = {name: held.get(given.get(name, "")) for name in row.tensors}
    missing = sorted(name for name, a in found.items() if a is None)
    if missing:
        raise TreeError(call, f"{row.kind} must have its {', '.join(sorted(row.tensors))} as initializers",
                        f"none for {', '.join(missing)}",
                        "export the model with biases and folded constants")  # fmt: skip
    return found
