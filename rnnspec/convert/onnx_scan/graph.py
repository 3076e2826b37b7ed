"""A growing ONNX graph, with the bodies of its loops, and the symbolic arrays that stand for its values.

A node goes into the outermost graph that has all of its operands, so that a loop computes nothing twice; a node with
the operands and attributes of another is that one.

>>> graph = Graph("float32")
>>> x = graph.input("x", (Dim("batch"), 3))
>>> x[:, :2].shape
(Dim(name='batch'), 2)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Dim", "Graph", "Shape", "Value", "broadcast"]

END = np.iinfo(np.int64).max
WHOLE = (0, END, 1)
"""The first entry of an axis, the one after its last, and the stride, of all entries."""


@dataclass(frozen=True)
class Dim:
    """The number of steps or rows, which a model learns when it is called; it equals no number."""

    name: str


Shape = tuple[Any, ...]
"""Numbers and `Dim`s."""


class Value:
    """A value of a graph: its name, its shape, its NumPy dtype, and how many loops are around it."""

    __slots__ = ("depth", "dtype", "graph", "name", "shape")

    def __init__(self, graph: Graph, name: str, shape: Shape, dtype: Any, depth: int) -> None:
        self.graph, self.name, self.shape, self.dtype, self.depth = graph, name, shape, np.dtype(dtype), depth

    def __repr__(self) -> str:
        return f"<{self.dtype} {self.name} of ONNX, shape {tuple(getattr(d, 'name', d) for d in self.shape)}>"

    def __add__(self, other: Any) -> Value:
        return self.graph.elementwise("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.elementwise("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.elementwise("Sub", other, self)

    def __lt__(self, other: Any) -> Value:
        return self.graph.elementwise("Less", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.graph.elementwise("Greater", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.graph.elementwise("GreaterOrEqual", self, other)

    def __getitem__(self, index: Any) -> Value:
        """A part by numbers, slices, `None` and `...`, as NumPy has it."""
        return _part(self, index if isinstance(index, tuple) else (index,))


@dataclass
class Scope:
    """The main graph, or the body of a loop."""

    nodes: list[NodeProto] = field(default_factory=list)
    known: dict[Any, list[Value]] = field(default_factory=dict)


class Graph:
    """The scopes, initializers, inputs and outputs of a model whose numbers are of one dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.scopes = [Scope()]
        self.initializers: dict[str, TensorProto] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._parameters: set[str] = set()
        self._constants: dict[Any, Value] = {}
        self._sizes: dict[Dim, Value] = {}
        self.raised: dict[str, tuple[Value, tuple[int, ...]]] = {}
        """The values with more axes of one entry: what they are made of, and the axes."""
        self._count = 0

    def input(self, name: str, shape: Shape, dtype: Any = None, default: Any = None) -> Value:
        """An input; one with a default may be left out, and an axis of any length is None there."""
        value = Value(self, name, shape, dtype or self.dtype, 0)
        self.inputs.append(_info(value))
        if default is not None:
            self.initializers[name] = numpy_helper.from_array(np.asarray(default, value.dtype), name)
        for axis, size in enumerate(shape):
            if isinstance(size, Dim) and size not in self._sizes:
                self.measure(value, axis)
        return value

    def measure(self, value: Value, axis: int) -> None:
        """Let a call learn the `Dim` of an axis from a value."""
        self._sizes[value.shape[axis]] = self.node("Shape", [value], (1,), np.int64, start=axis, end=axis + 1)

    def parameter(self, name: str, array: Any) -> Value:
        """A learned array, under its own name."""
        held = np.ascontiguousarray(array, self.dtype)
        self.initializers[name] = numpy_helper.from_array(held, name)
        self._parameters.add(name)
        return Value(self, name, held.shape, held.dtype, 0)

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant of the graph; equal ones are one."""
        held = np.ascontiguousarray(array, dtype or self.dtype).reshape(np.shape(array))
        key = (held.dtype, held.shape, held.tobytes())
        if key not in self._constants:
            name = self._named("constant")
            self.initializers[name] = numpy_helper.from_array(held, name)
            self._constants[key] = Value(self, name, held.shape, held.dtype, 0)
        return self._constants[key]

    def output(self, name: str, value: Value) -> None:
        """Give a value out under a name."""
        self.scopes[0].nodes.append(helper.make_node("Identity", [value.name], [name], name=name))
        self.outputs.append(_info(Value(self, name, value.shape, value.dtype, 0)))

    def node(
        self, op: str, operands: Sequence[Value | None], shape: Shape, dtype: Any = None, **attributes: Any
    ) -> Value:
        """The value of an operator with one result."""
        return self.nodes(op, operands, [shape], dtype, **attributes)[0]

    def nodes(
        self, op: str, operands: Sequence[Value | None], shapes: Sequence[Shape], dtype: Any = None, **attributes: Any
    ) -> list[Value]:
        """The values of an operator; None is an operand that is left out."""
        depth = max((v.depth for v in operands if v is not None), default=0)
        names = ["" if v is None else v.name for v in operands]
        key = (op, *names, *((name, repr(value)) for name, value in attributes.items()))
        scope = self.scopes[depth]
        if key not in scope.known:
            found = [Value(self, self._named(op), shape, dtype or self.dtype, depth) for shape in shapes]
            scope.nodes.append(helper.make_node(op, names, [v.name for v in found], name=found[0].name, **attributes))
            scope.known[key] = found
        return scope.known[key]

    def elementwise(self, op: str, *operands: Any, dtype: Any = None) -> Value:
        """An operator entry by entry, whose operands broadcast; numbers of Python take the dtype of the others."""
        kind = next(v.dtype for v in operands[::-1] if isinstance(v, Value))
        values = [v if isinstance(v, Value) else self.constant(v, kind) for v in operands]
        result = np.bool_ if op in ("Less", "Greater", "GreaterOrEqual") else dtype or kind
        return self.node(op, values, broadcast(*(v.shape for v in values)), result)

    def sizes(self, shape: Shape) -> Value:
        """A shape as a value of the graph."""
        if not any(isinstance(size, Dim) for size in shape):
            return self.constant(shape, np.int64)
        parts = [self._sizes[size] if isinstance(size, Dim) else self.constant([size], np.int64) for size in shape]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, (len(parts),), np.int64, axis=0)

    def loop(
        self, body: Callable[[list[Value]], list[Value]], carried: list[Value], over_time: list[Value]
    ) -> list[Value]:
        """A Scan over the first axis: `body` maps carried values and those of a step to new ones and recorded ones."""
        depth, steps = len(self.scopes), over_time[0].shape[0]
        self.scopes.append(Scope())
        given = [Value(self, self._named("carried"), v.shape, v.dtype, depth) for v in carried]
        given += [Value(self, self._named("step"), v.shape[1:], v.dtype, depth) for v in over_time]
        found = self._given_out(body(given), depth)
        nodes = _needed(self.scopes.pop().nodes, {v.name for v in found})
        made = helper.make_graph(nodes, f"step.{self._count}", list(map(_info, given)), list(map(_info, found)))
        shapes = [v.shape if i < len(carried) else (steps, *v.shape) for i, v in enumerate(found)]
        operands, scope = [*carried, *over_time], self.scopes[depth - 1]
        results = [Value(self, self._named("Scan"), shape, v.dtype, depth - 1)
                   for shape, v in zip(shapes, found, strict=True)]  # fmt: skip
        node = helper.make_node("Scan", [v.name for v in operands], [v.name for v in results], name=results[0].name,
                                body=made, num_scan_inputs=len(over_time))  # fmt: skip
        scope.nodes.append(node)
        return results

    def _given_out(self, values: Iterable[Value], depth: int) -> list[Value]:
        """The values as results of a body: each made in it, and under a name of its own."""
        made, found = {name for node in self.scopes[depth].nodes for name in node.output}, list[Value]()
        for value in values:
            found.append(value if value.name in made else self._copy(value, depth))
            made.discard(value.name)
        return found

    def _copy(self, value: Value, depth: int) -> Value:
        copy = Value(self, self._named("Identity"), value.shape, value.dtype, depth)
        self.scopes[depth].nodes.append(helper.make_node("Identity", [value.name], [copy.name], name=copy.name))
        return copy

    def finished(self) -> GraphProto:
        """The graph, without what no output needs; parameters stay."""
        wanted = {info.name for info in (*self.outputs, *self.inputs)} | self._parameters
        nodes = _needed(self.scopes[0].nodes, wanted)
        held = [array for name, array in self.initializers.items() if name in wanted]
        return helper.make_graph(nodes, "rnnspec", self.inputs, self.outputs, held)

    def _named(self, what: str) -> str:
        self._count += 1
        return f"{what}.{self._count}"


def _needed(nodes: Sequence[NodeProto], wanted: set[str]) -> list[NodeProto]:
    """The nodes that values by these names need; the names of what they read join `wanted`."""
    found = list[NodeProto]()
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            found.append(node)
            wanted.update(node.input, *(inner.input for a in node.attribute for inner in a.g.node))
    return found[::-1]


def broadcast(*shapes: Shape) -> Shape:
    """The shape of values entry by entry."""
    rank = max(map(len, shapes))
    wide = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*wide, strict=True))


def _info(value: Value) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(value.name, kind, [getattr(size, "name", size) for size in value.shape])


def _part(value: Value, index: tuple[Any, ...]) -> Value:
    """NumPy's indexing by one Slice, one Squeeze and one Unsqueeze."""
    named = [part for part in index if part is not None and part is not Ellipsis]
    rest = [slice(None)] * (len(value.shape) - len(named))
    at = next((i for i, part in enumerate(index) if part is Ellipsis), len(index))
    whole = [*index[:at], *rest, *index[at + 1 :]]
    parts = [part for part in whole if part is not None]
    found = _dropped(_sliced(value, parts), [axis for axis, part in enumerate(parts) if not isinstance(part, slice)])
    kept = [part for part in whole if part is None or isinstance(part, slice)]
    return _raised(found, [axis for axis, part in enumerate(kept) if part is None])


def _sliced(value: Value, parts: Sequence[Any]) -> Value:
    """The value with slices taken, and with one entry where a part is a number."""
    every = ((axis, *_cut(part, value.shape[axis])) for axis, part in enumerate(parts))
    cuts = [cut for cut in every if cut[1:] != WHOLE]
    if not cuts:
        return value
    shape = list(value.shape)
    for axis, first, last, step in cuts:
        free = isinstance(shape[axis], Dim)
        shape[axis] = shape[axis] if free and step < 0 else 1 if free else len(range(shape[axis])[first:last:step])
    axes, *ends, steps = ([cut[i] for cut in cuts] for i in range(4))
    numbers = [value.graph.constant(column, np.int64) for column in (*ends, axes, steps)]
    return value.graph.node("Slice", [value, *numbers], tuple(shape), value.dtype)


def _cut(part: Any, size: Any) -> tuple[int, int, int]:
    """What a slice or a number takes of an axis of this size, as `WHOLE` has it."""
    if not isinstance(part, slice):
        return WHOLE if size == 1 else (part, part + 1 if part != -1 else END, 1)
    first, last, step = part.start or 0, END if part.stop is None else part.stop, part.step or 1
    if step < 0:
        return -1, -END, step
    return WHOLE if (first, step) == (0, 1) and last == size else (first, last, step)


def _dropped(value: Value, axes: Sequence[int]) -> Value:
    """The value without axes of one entry; the inverse of `_raised`, which it undoes."""
    if not axes:
        return value
    source, own = value.graph.raised.get(value.name, (value, ()))
    if own == tuple(axes):
        return source
    shape = tuple(size for axis, size in enumerate(value.shape) if axis not in axes)
    return value.graph.node("Squeeze", [value, value.graph.constant(list(axes), np.int64)], shape, value.dtype)


def _raised(value: Value, axes: Sequence[int]) -> Value:
    if not axes:
        return value
    shape = list(value.shape)
    for axis in axes:
        shape.insert(axis, 1)
    added = value.graph.constant(list(axes), np.int64)
    found = value.graph.node("Unsqueeze", [value, added], tuple(shape), value.dtype)
    value.graph.raised[found.name] = (value, tuple(axes))
    return found
