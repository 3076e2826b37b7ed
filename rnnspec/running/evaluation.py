"""The values of a graph's nodes, with the arrays of any framework."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property, partial, reduce
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.maps import Maps
from rnnspec.tracing.graph import AXES, Graph, Node
from rnnspec.tracing.ranks import MATRIX, NUMBER, Narrow, narrowness

__all__ = ["INPUTS", "Evaluator", "evaluate_graph", "primitive"]

INPUTS = "inputs"
"""The key of a layer's inputs among the values."""


def primitive(arrays: Arrays, op: str, operands: list[Any], axes: tuple[int, ...] | None = (-1,)) -> Array:
    """The value of one primitive; a total sums over `axes`, over all if None, and a width counts what it sums."""
    if op == "total":
        return arrays.sum(operands[0], axes, axes is not None)
    if op == "width":
        shape = operands[0].shape
        return arrays.scalar(math.prod(shape) if axes is None else shape[-1] if len(shape) else 1)
    return _COMPOSED[op](arrays, *operands) if op in _COMPOSED else arrays.functions[op](*operands)


def _logsumexp(arrays: Arrays, a: Array) -> Array:
    f, zero = arrays.functions, arrays.scalar(0.0)
    largest = arrays.largest(a)
    finite = f["greater"](arrays.scalar(float("inf")), f["maximum"](largest, f["negate"](largest)))
    shift = f["where"](finite, largest, zero)
    return f["add"](shift, f["log"](arrays.sum(f["exp"](f["subtract"](a, shift)), (-1,), True)))


def _spread(arrays: Arrays, a: Array, like: Array) -> Array:
    f = arrays.functions
    zero = f["multiply"](like, arrays.scalar(0.0))
    return f["where"](f["greater"](zero, arrays.scalar(1.0)), zero, a)


def _outer(arrays: Arrays, a: Array, b: Array) -> Array:
    """All products of two vectors; a constant has no axes of its own."""
    column, row = (a[..., None] if len(a.shape) else a), (b[..., None, :] if len(b.shape) else b)
    return arrays.functions["multiply"](column, row)


_COMPOSED: dict[str, Callable[..., Array]] = {
    "logsumexp": _logsumexp,
    "number": lambda arrays, a: a,
    "outer": _outer,
    "spread": _spread,
}
"""The primitives that no framework has as one function."""


def evaluate_graph(
    arrays: Arrays, graph: Graph, leaves: dict[str, Any], axes: tuple[int, ...] | None = (-1,)
) -> dict[str, Array]:
    """The results of a graph without maps: a loss, a policy, an update rule."""

    def apply(node: Node, operands: list[Any]) -> Array:
        if node.op in ("argument", "scalar", "cotangent"):
            return leaves[node.name]
        if node.op == "constant":
            return arrays.scalar(node.value)
        if node.op == "reduce":
            return node.value(operands[0])
        if node.op in AXES:
            return _along(arrays, AXES[node.op], operands[0])
        return primitive(arrays, node.op, operands, axes)

    return graph.evaluate(apply)


def _along(arrays: Arrays, axis: int, a: Array) -> Array:
    """The sum over one axis of a map, with the axis kept; a vector `(out)` has one axis only."""
    if len(a.shape) < 2:
        return a if axis == -1 else arrays.sum(a, (0,), True)
    return arrays.sum(a, (axis,), True)


class Evaluator:
    """Evaluates nodes into a dict of values; maps that share an argument are one product."""

    def __init__(self, arrays: Arrays, plan: Schedule, maps: Maps) -> None:
        self.arrays, self.plan, self.nodes, self.maps = arrays, plan, plan.nodes, maps

    def run(self, indices: Iterable[int], values: Values) -> Values:
        """Add the values of the nodes to `values`, and return it."""
        for index in indices:
            if index not in values:
                values[index] = self.value(index, values)
        return values

    def value(self, index: int, values: Values) -> Array:
        """The value of one node, whose operands have values."""
        node = self.nodes[index]
        if index in values:
            return values[index]
        if node.op in ("constant", "vector", "input", "width"):
            return self._leaf(node, values)
        operands = [self.value(arg, values) for arg in node.args]
        if node.op == "map":
            return self._recurrent(node.args[0], operands[0], values)[node.name]
        if node.op == "transposed":
            return self._transposed(node.name, operands)
        return self._primitive(node, operands)

    def _leaf(self, node: Node, values: Values) -> Array:
        if node.op == "constant":
            return self.arrays.scalar(node.value)
        if node.op == "width":
            return self.arrays.reshape(self.arrays.scalar(math.prod(self.maps.sizes(node.args[0]))), (1,))
        if node.op == "vector":
            return self.maps.heads.learned(self.maps.params["p"][node.name], f"p.{node.name}")
        return self._input(values)[node.name]

    def _primitive(self, node: Node, operands: list[Array]) -> Array:
        ranks = [self.plan.ranks[arg] for arg in node.args]
        if node.op == "matmul":
            return self._matrix_product(node, operands, ranks)
        if MATRIX in ranks:
            return of_matrices(self.arrays, node.op, operands, ranks)
        return primitive(self.arrays, node.op, operands)

    def _input(self, values: Values) -> dict[str, Array]:
        key = "input maps"
        if key not in values:
            values[key] = {}
            for pack in self.plan.input_packs:
                values[key] |= self.maps.of_inputs(pack, values[INPUTS])
        return values[key]  # type: ignore[no-any-return]

    def _recurrent(self, arg: int, operand: Array, values: Values) -> dict[str, Array]:
        key = ("recurrent maps", arg)
        if key not in values:
            values[key] = {}
            for pack in self.plan.recurrent_packs[arg]:
                values[key] |= self.maps.of(pack, operand)
        return values[key]  # type: ignore[no-any-return]

    def _transposed(self, name: str, operands: list[Array]) -> Array:
        left = iter(operands)
        packs = [(pack, [next(left) for _ in pack]) for pack in self.plan.transposed_packs(name)]
        found = [self.maps.transposed[pack](self.arrays.concatenate(own, -1)) for pack, own in packs]
        return reduce(self.arrays.functions["add"], found)

    def _matrix_product(self, node: Node, operands: list[Array], ranks: list[int]) -> Array:
        """`S @ b` or `a @ S`; a sum of products where one of the two repeats one entry."""
        f, sums, column = self.arrays.functions, self.arrays.sum, ranks[0] == MATRIX
        (matrix, v), (of, other) = (operands, node.args) if column else (operands[::-1], node.args[::-1])
        if self.plan.ranks[other] == NUMBER or (self._narrow[of].column if column else self._narrow[of].row):
            beside = (v[..., None, :] if column else v[..., None]) if len(v.shape) else v
            return sums(f["multiply"](matrix, beside), (-1 if column else -2,), False)
        if other in self.plan.in_time and of not in self.plan.in_time:
            turned = _turned(self.arrays, matrix) if column else matrix
            product = partial(self._times, turned)
            return self.maps.heads.through(v, product) if len(matrix.shape) == 3 else product(v)
        if column:
            return self.arrays.matmul(matrix, v[..., None])[..., 0]
        return self.arrays.matmul(v[..., None, :], matrix)[..., 0, :]

    def _times(self, matrix: Array, rows: Array) -> Array:
        return self.arrays.matmul(rows, matrix)

    @cached_property
    def _narrow(self) -> list[Narrow]:
        return narrowness(self.nodes)


def of_matrices(arrays: Arrays, op: str, operands: list[Array], ranks: list[int]) -> Array:
    """The value of a primitive of which an operand is a matrix; a number has one more axis beside it."""
    if op == "total":
        return arrays.sum(arrays.sum(operands[0], (-1,), False), (-1,), True)
    wide = [a[..., None] if rank < MATRIX and len(a.shape) else a for a, rank in zip(operands, ranks, strict=True)]
    return primitive(arrays, op, wide)


def _turned(arrays: Arrays, a: Array) -> Array:
    """The matrices with rows and columns exchanged."""
    rank = len(a.shape)
    return arrays.permute(a, (*range(rank - 2), rank - 1, rank - 2))
