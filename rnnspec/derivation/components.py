"""The states of a cell in groups: those that depend on one another step together, each group after those it reads.

A matrix comes after the states in its queries too, where these do not depend on the matrix themselves.

>>> from rnnspec import cells
>>> components(cells.mlstm.graph, cells.mlstm.states)
(('m',), ('C',), ('n',))
>>> components(cells.lstm.graph, cells.lstm.states)
(('h', 'c'),)
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnspec.tracing.graph import Graph, ancestors, iterate
from rnnspec.tracing.ranks import MATRIX, ranks

__all__ = ["components"]


def components(graph: Graph, states: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups of states, in an order in which every group reads itself and earlier ones only."""
    results = {state: graph.result(state) for state in states}
    reads = {state: _read(graph, index) & set(states) for state, index in results.items()}
    asked = {state: reads[state] | (_in_queries(graph, state) & set(states)) for state in states}
    reached, before = ({state: _reached(read, state) for state in states} for read in (reads, asked))
    groups = dict.fromkeys(
        tuple(other for other in states if other == state or (other in reached[state] and state in reached[other]))
        for state in states
    )

    def place(group: tuple[str, ...]) -> tuple[int, int]:
        return len(before[group[0]] | set(group)), len(reached[group[0]] | set(group))

    return tuple(sorted(groups, key=place))


def _read(graph: Graph, index: int) -> set[str]:
    """The states that a value depends on; a width depends on no value."""
    nodes = [node if node.op != "width" else type(node)("width") for node in graph.nodes]
    needed = ancestors(nodes, [index])
    return {node.name for place, node in iterate(nodes, "state") if place in needed}


def _in_queries(graph: Graph, state: str) -> set[str]:
    """The states in the vectors that read a matrix, or what is made of it entry by entry."""
    rank, made, found = ranks(graph), set[int](), set[str]()
    for index, node in enumerate(graph.nodes):
        if rank[index] == MATRIX and ((node.op, node.name) == ("state", state) or made.intersection(node.args)):
            made.add(index)
        if node.op == "matmul" and made.intersection(node.args):
            found.update(*(_read(graph, arg) for arg in node.args if rank[arg] != MATRIX))
    return found


def _reached(reads: dict[str, set[str]], state: str) -> set[str]:
    found: set[str] = set()
    left = [state]
    while left:
        new = reads[left.pop()] - found
        found |= new
        left.extend(new)
    return found
