"""An ONNX graph followed from its inputs: every value is numbers, an array whose axes are followed, or not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper, shape_inference

from rnnspec.convert.conversion import Note
from rnnspec.convert.onnx_features import Entry
from rnnspec.convert.onnx_flow import Filled, Fixed, Flow, Known, NotFollowed, Sizes, Unread, is_zero
from rnnspec.convert.onnx_folding import folded
from rnnspec.convert.onnx_maps import MAPS, lookup
from rnnspec.convert.onnx_moves import MOVES
from rnnspec.convert.onnx_operator import OWN, Operator, operators_in
from rnnspec.convert.onnx_pointwise import FUNCTIONS
from rnnspec.convert.onnx_quantised import QUANTISED
from rnnspec.convert.onnx_recurrent import RECURRENT, recurrent
from rnnspec.convert.onnx_state import Reading

__all__ = ["Graph", "followed"]

OPERATORS = MOVES | MAPS | FUNCTIONS | QUANTISED
STEPS_RANK = 3


def followed(call: str, model: ModelProto, cuts: Sequence[str], outputs: Sequence[str], dequantise: bool) -> Graph:
    """The graph of a model, where free lengths that it has as numbers somewhere are these numbers."""
    fixed: dict[str, int] = {}
    while True:
        try:
            return Graph(call, model, cuts, outputs, dequantise, fixed)
        except Fixed as error:
            if not error.lengths.keys() - fixed.keys():
                raise AssertionError("a fixed length is free") from error
            fixed |= error.lengths


class Graph(Reading):
    """The values of a graph by name, followed to its outputs. `cuts` are names of values that count as inputs."""

    def __init__(
        self, call: str, model: ModelProto, cuts: Sequence[str], outputs: Sequence[str], dequantise: bool,
        fixed: Mapping[str, int],
    ) -> None:  # fmt: skip
        super().__init__(call, dequantise, Sizes(fixed))
        self.model = model
        self.order = list[tuple[Operator, str]]()
        self.opset = max((o.version for o in model.opset_import if o.domain in OWN), default=1)
        self._shapes: dict[str, Any] | None = None
        self.named = {*cuts, *outputs} - {""}
        self.values: dict[str, Any] = {"": None}
        given = {i.name: i for i in model.graph.input}
        self.values |= {name: self._input(name, given.get(name)) for name in (*given, *cuts)}
        self._hold(model.graph, cuts)
        self._run(_needed(model.graph, set(outputs), set(cuts)))

    def _hold(self, graph: GraphProto, cuts: Sequence[str]) -> None:
        """Take the numbers that the graph holds."""
        for tensor in graph.initializer:
            if tensor.name not in cuts:
                self.values[tensor.name] = Known(np.array(numpy_helper.to_array(tensor)))
        for sparse in graph.sparse_initializer:
            self.values[sparse.values.name] = Unread(None, sparse.values.name, "a sparse tensor")

    def _input(self, name: str, info: Any) -> Flow:
        """The flow of an input, whose axes are its own."""
        dims = _dims(info) if info is not None else None
        if dims is None:
            dims = self.shapes.get(name)
        dims = [None] * STEPS_RANK if dims is None else dims
        axes = [self.sizes.axis(f"{name}.{i}", length) for i, length in enumerate(dims)]
        return Flow(self.features.new(Entry(name, None, 1)).reshape([1] * len(axes)), tuple(axes))

    @property
    def shapes(self) -> Mapping[str, Any]:
        """The shapes of values in the middle of the graph, as far as ONNX can infer them."""
        if self._shapes is None:
            try:
                inferred = shape_inference.infer_shapes(self.model, data_prop=True).graph
            except Exception:  # a model that cannot be inferred, or is too large, is read all the same
                inferred = self.model.graph
            infos = (*inferred.value_info, *inferred.input, *inferred.output)
            self._shapes = {info.name: _dims(info) for info in infos if _dims(info) is not None}
        return self._shapes

    def _run(self, nodes: Iterable[NodeProto]) -> None:
        for node in nodes:
            operator = Operator.of(node, self.opset)
            found = self._read(operator, [self.values.get(name, Unread(None, name)) for name in node.input])
            for name, value in zip_longest(node.output, found):
                if name and name not in self.values:
                    self.values[name] = Unread(operator) if value is None else value
                    self.order.append((operator, name))

    def _read(self, operator: Operator, operands: list[Any]) -> list[Any]:
        if operator.kind == "If":
            return self._branch(operator, operands[0])
        try:
            found = self._value(operator, operands)
        except NotFollowed as error:
            found = Unread(operator, why=error.why, do=error.do)
        found = found if isinstance(found, list) else [found] * len(operator.node.output)
        return [Unread(operator) if each is None else each for each in found]

    def _value(self, operator: Operator, operands: list[Any]) -> Any:
        """The value of an operator, or the values, or None where it is not read."""
        if operator.kind in RECURRENT:
            return recurrent(self, operator, operands)
        if any(isinstance(each, Unread) for each in operands):
            return self._unread(operator, operands)
        if operator.kind == "Gather" and isinstance(operands[0], Known) and isinstance(operands[1], Flow):
            return lookup(self, operator, operands)
        if not any(isinstance(each, Flow) for each in operands):
            return folded(operator, operands)
        if operator.kind == "Less" and self.is_whole(operands[0]) and is_zero(operands[1], "fiu"):
            return Filled(0.0)  # class numbers are not negative
        moved = operator.kind in MOVES and not isinstance(operands[0], Flow)
        return None if moved or operator.kind not in OPERATORS else OPERATORS[operator.kind](self, operator, operands)

    def _unread(self, operator: Operator, operands: list[Any]) -> Any:
        """The value of an operator one of whose operands is not read: it may depend on lengths alone."""
        if operator.kind in ("Shape", "Size"):
            return self._shape_of(operator, operands[0])
        if operator.kind == "ConstantOfShape":
            return folded(operator, operands)
        if operator.kind == "Mul" and any(isinstance(each, Filled) and is_zero(each) for each in operands):
            return Filled(0.0)
        return self._filled(operator, operands) or next(each for each in operands if isinstance(each, Unread))

    def _filled(self, operator: Operator, operands: list[Any]) -> list[Any] | None:
        """An array of one number everywhere, in a shape that is not read."""
        first = operands[0] if operands else None
        if operator.kind not in ("Expand", "Reshape", "Tile", "Slice") or not isinstance(first, Known | Filled):
            return None
        value = np.float64(first.value) if isinstance(first, Filled) else first.array
        return [Filled(float(value.flat[0]))] if value.size and (value == value.flat[0]).all() else None

    def _branch(self, operator: Operator, condition: Any) -> list[Any]:
        """The values of the branch that the condition chooses, or that holds a value which was named."""
        graph = self._chosen(operator, condition)
        if graph is None:
            holds = any(node.op_type in RECURRENT for each in operator.graphs for node in operators_in(each))
            own = Unread(operator, why="what the model is given chooses its branch")
            unread = condition if isinstance(condition, Unread) and not holds else own
            return [unread] * len(operator.node.output)
        self._hold(graph, ())
        self._run(graph.node)
        return [self.values.get(output.name, Unread(None, output.name)) for output in graph.output]

    def _chosen(self, operator: Operator, condition: Any) -> GraphProto | None:
        if not isinstance(condition, Known):
            named = [graph for graph in operator.graphs
                     if any(self.named.intersection(node.output) for node in operators_in(graph))]  # fmt: skip
            return named[0] if len(named) == 1 else None
        if condition.free:
            self.note("", Note.BRANCH, str(operator))
        graph: GraphProto = operator.option("then_branch" if condition.array.all() else "else_branch")
        return graph

    def _shape_of(self, operator: Operator, value: Unread) -> Any:
        name = operator.node.input[0]
        dims = self.shapes.get(name)
        if dims is None:
            return value if value.operator else Unread(None, name)
        return MOVES[operator.kind](self, operator, [self._input(name, None)])


def _dims(info: Any) -> list[Any] | None:
    """The lengths of a value's axes: a number, a name or None for each; None where the graph does not say."""
    if not info.type.tensor_type.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in info.type.tensor_type.shape.dim]


def _needed(graph: GraphProto, outputs: set[str], cuts: set[str]) -> list[NodeProto]:
    """The nodes that the outputs depend on, up to the cuts, in the order of the graph."""
    wanted, found = set(outputs), list[NodeProto]()
    for node in reversed(graph.node):
        inner = [each for a in node.attribute if a.HasField("g") for each in operators_in(a.g)]
        if wanted.intersection(name for each in (node, *inner) for name in each.output) - cuts - {""}:
            found.append(node)
            wanted |= {name for each in (node, *inner) for name in each.input}
            wanted |= {output.name for a in node.attribute if a.HasField("g") for output in a.g.output}
    return found[::-1]
