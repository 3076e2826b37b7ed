"""A rewrite: another node in the place of one, in a graph of equations or in their adjoint; and what two share.

>>> from rnnspec import cells
>>> first = Rewrite("keeps its first term", 2, lambda builder, args: args[0])
>>> [node.op for node in rewrite_graph(cells.elman.graph, first).nodes]
['input', 'tanh']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnspec.derivation.adjoint import Adjoint, MapCotangent
from rnnspec.tracing.graph import Graph, GraphBuilder, Node

__all__ = ["Rewrite", "canonical", "canonical_adjoint", "canonical_graph", "rewrite_adjoint", "rewrite_graph"]

Make = Callable[[GraphBuilder, tuple[int, ...]], int]
COMMUTATIVE = ("add", "multiply")


@dataclass(frozen=True)
class Rewrite:
    """`make(builder, operands)` gives the node that stands in the place of node `place`."""

    says: str
    place: int
    make: Make


def rewrite_graph(graph: Graph, rewrite: Rewrite) -> Graph:
    """The graph with one node replaced, also in all that reads it."""
    builder, place = _rebuild(GraphBuilder(), graph.nodes, {}, rewrite)
    return builder.graph({name: place[index] for name, index in graph.results})


def rewrite_adjoint(adjoint: Adjoint, rewrite: Rewrite) -> Adjoint:
    """The adjoint with one of its backward nodes replaced, also in all that reads it; forward nodes stay."""
    own = adjoint.nodes[: adjoint.forward]
    known = {index: index for index in range(adjoint.forward)}
    builder, place = _rebuild(GraphBuilder(list(own)), adjoint.nodes, known, rewrite)
    return Adjoint(
        tuple(builder.nodes),
        adjoint.forward,
        tuple((leaf, place[index]) for leaf, index in adjoint.leaves),
        tuple(MapCotangent(use.name, place[use.cotangent], use.operand) for use in adjoint.maps),
    )


def canonical_graph(graph: Graph) -> Any:
    """What a graph says, whatever the order of its nodes and of commuting operands: equal values mean equal graphs."""
    forms = canonical(graph.nodes)
    return tuple(sorted((name, forms[index]) for name, index in graph.results))


def canonical_adjoint(adjoint: Adjoint) -> Any:
    """What an adjoint says, as `canonical_graph` does."""
    forms = canonical(adjoint.nodes)
    leaves = tuple(sorted((leaf, forms[index]) for leaf, index in adjoint.leaves))
    return leaves, tuple(sorted((use.name, forms[use.cotangent], forms[use.operand]) for use in adjoint.maps))


def canonical(nodes: Sequence[Node]) -> list[str]:
    """One text for each node; the terms of a packed transposed product are named one by one."""
    forms: list[str] = []
    for node in nodes:
        operands = [forms[arg] for arg in node.args]
        if node.op == "transposed":
            operands = sorted(f"{name}'{form}" for name, form in zip(node.name.split(), operands, strict=True))
            forms.append(f"(transposed {' '.join(operands)})")
            continue
        ordered = sorted(operands) if node.op in COMMUTATIVE else operands
        forms.append(f"({' '.join((node.op, node.name, repr(node.value), *ordered))})")
    return forms


def _rebuild(
    builder: GraphBuilder, nodes: Iterable[Node], known: dict[int, int], rewrite: Rewrite
) -> tuple[GraphBuilder, dict[int, int]]:
    place = dict(known)
    for index, node in enumerate(nodes):
        if index in place:
            continue
        args = tuple(place[arg] for arg in node.args)
        is_it = index == rewrite.place
        place[index] = rewrite.make(builder, args) if is_it else builder.add(node.op, args, node.name, node.value)
    return builder, place
