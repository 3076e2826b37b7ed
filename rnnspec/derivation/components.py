"""The states of a cell in groups: those that depend on one another step together, each group after those it reads.

>>> from rnnspec import cells
>>> components(cells.mlstm.graph, cells.mlstm.states)
(('m',), ('C',), ('n',))
>>> components(cells.lstm.graph, cells.lstm.states)
(('h', 'c'),)
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnspec.tracing.graph import Graph, ancestors, iterate

__all__ = ["components"]


def components(graph: Graph, states: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups of states, in an order in which every group reads itself and earlier ones only."""
    reads = {state: _read(graph, state) & set(states) for state in states}
    reached = {state: _reached(reads, state) for state in states}
    groups = dict.fromkeys(
        tuple(other for other in states if other == state or (other in reached[state] and state in reached[other]))
        for state in states
    )
    return tuple(sorted(groups, key=lambda group: len(reached[group[0]] | set(group))))


def _read(graph: Graph, state: str) -> set[str]:
    """The states that the new value of a state depends on; a width depends on no value."""
    nodes = [node if node.op != "width" else type(node)("width") for node in graph.nodes]
    needed = ancestors(nodes, [graph.result(state)])
    return {node.name for index, node in iterate(nodes, "state") if index in needed}


def _reached(reads: dict[str, set[str]], state: str) -> set[str]:
    found: set[str] = set()
    left = [state]
    while left:
        new = reads[left.pop()] - found
        found |= new
        left.extend(new)
    return found
