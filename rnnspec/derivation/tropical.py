"""Values that are a maximum of a shifted leaf of a graph and of what does not read it, such as a stabiliser.

>>> from rnnspec import cells
>>> builder = GraphBuilder(list(cells.mlstm.graph.nodes))
>>> m = next(index for index, node in enumerate(builder.nodes) if node.op == "state" and node.name == "m")
>>> form = maximum_of(builder, m, cells.mlstm.graph.result("m"))
>>> builder.nodes[form.shift].op, builder.nodes[form.floor].op
('subtract', 'number')
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.derivation.affine import NotAffine
from rnnspec.tracing.graph import GraphBuilder

__all__ = ["Maximum", "maximum_of"]


@dataclass(frozen=True)
class Maximum:
    """`max(leaf + shift, floor)`, each a node; None is minus infinity."""

    shift: int | None
    floor: int | None


def maximum_of(builder: GraphBuilder, leaf: int, index: int) -> Maximum:
    """The form of a node in a leaf, entry by entry; raises NotAffine."""
    node = builder.nodes[index]
    if index == leaf:
        return Maximum(builder.constant(0.0), None)
    args = () if node.op == "width" else node.args
    forms = [maximum_of(builder, leaf, arg) for arg in args]
    if all(form.shift is None for form in forms):
        return Maximum(None, index)
    match node.op, forms:
        case "maximum", [one, other]:
            return Maximum(_larger(builder, one.shift, other.shift), _larger(builder, one.floor, other.floor))
        case "number", [form]:
            return form
        case "add", [known, form] if known.shift is None:
            return _shifted(builder, "add", form, node.args[0])
        case "add" | "subtract", [form, known] if known.shift is None:
            return _shifted(builder, node.op, form, node.args[1])
    raise NotAffine(node)


def _larger(builder: GraphBuilder, a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else builder.add("maximum", (a, b))


def _shifted(builder: GraphBuilder, op: str, form: Maximum, known: int) -> Maximum:
    def moved(a: int | None) -> int | None:
        return None if a is None else builder.add(op, (a, known))

    return Maximum(moved(form.shift), moved(form.floor))
