"""Mutants of a cell's equations, generated from its graph: a term lost, another function or operand, maps mixed up.

Each runs the faulty equations in its values, in its gradients, or in both (then it is another cell, whole and
consistent, under the name of the first).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, cycle
from typing import Any

from conformance.mutants.derived.planned import MODES, Fault, PlannedMutant, faulty_cell
from conformance.mutants.derived.rewrite import Make, Rewrite, canonical_graph, rewrite_graph
from rnnspec import Cell
from rnnspec.derivation.schedule import schedule
from rnnspec.tracing.graph import Graph, Node, ancestors
from rnnspec.tree import Tree

__all__ = ["equation_mutants", "instead"]


def equation_mutants(cell: Cell) -> Iterator[PlannedMutant]:
    """Every rewrite of the cell's graph in one mode each, in turn; and its square maps, transposed."""
    modes = cycle(MODES)
    for rewrite in (*_other_nodes(cell), *_other_operands(cell)):
        yield _mutant(cell, rewrite.says, rewrite_graph(cell.graph, rewrite), next(modes))
    for says, graph in _exchanged_maps(cell):
        yield _mutant(cell, says, graph, next(modes))
    yield from _transposed_maps(cell)


def instead(node: Node) -> list[tuple[str, Make]]:
    """What can stand in the place of a node."""
    return _INSTEAD.get(node.op, [])


def _first(builder: Any, args: tuple[int, ...]) -> int:
    return args[0]


def _second(builder: Any, args: tuple[int, ...]) -> int:
    return args[1]


def _as(op: str) -> Make:
    return lambda builder, args: builder.add(op, args)


def _exchanged(op: str) -> Make:
    return lambda builder, args: builder.add(op, (*args[:-2], args[-1], args[-2]))


_INSTEAD: dict[str, list[tuple[str, Make]]] = {
    "add": [("keeps its first term only", _first), ("keeps its second term only", _second),
            ("subtracts its second term", _as("subtract"))],
    "subtract": [("adds", _as("add")), ("exchanges its operands", _exchanged("subtract")),
                 ("keeps its second operand only", _second)],
    "multiply": [("keeps its first factor only", _first), ("keeps its second factor only", _second)],
    "divide": [("exchanges its operands", _exchanged("divide"))],
    "tanh": [("is a sigmoid", _as("sigmoid")), ("is the identity", _first)],
    "sigmoid": [("is a tanh", _as("tanh")), ("is the identity", _first)],
    "relu": [("is the identity", _first), ("is a tanh", _as("tanh"))],
    "negate": [("is the identity", _first)],
    "maximum": [("is a minimum", _as("minimum")), ("keeps its first operand", _first)],
    "minimum": [("is a maximum", _as("maximum")), ("keeps its first operand", _first)],
    "where": [("exchanges its choices", _exchanged("where"))],
}  # fmt: skip


def _mutant(cell: Cell, says: str, graph: Graph, mode: str) -> PlannedMutant:
    values, gradients = MODES[mode]
    right, wrong = schedule(cell), schedule(replace(cell, graph=graph))
    twin = "the canonical graphs are equal" if canonical_graph(graph) == canonical_graph(cell.graph) else ""
    fault = Fault(cell, wrong if values else right, wrong if gradients else right)
    where = {"forward": "values", "backward": "gradients", "both": "values and gradients"}[mode]
    return faulty_cell(f"{cell.name}: {says} ({mode})", f"In the {where} of {cell.name}, {says}.", fault, twin)


def _other_nodes(cell: Cell) -> Iterator[Rewrite]:
    nodes = cell.graph.nodes
    for index, node in enumerate(nodes):
        for says, make in instead(node):
            lone = nodes[node.args[0 if make is _first else -1]] if make in (_first, _second) else node
            if lone.op != "constant":
                yield Rewrite(f"{_shown(nodes, index)} {says}", index, make)


def _other_operands(cell: Cell) -> Iterator[Rewrite]:
    """A state read where another should be: another state, the new for the old, the old for the new."""
    nodes, new = cell.graph.nodes, {state: cell.graph.result(state) for state in cell.states}
    old = {node.name: index for index, node in enumerate(nodes) if node.op == "state"}
    for index, node in enumerate(nodes):
        for place, arg in enumerate(node.args):
            for says, other in _alternatives(cell, index, arg, old, new):
                yield Rewrite(f"{_shown(nodes, index)} reads {says}", index, _reading(node, place, other))


def _alternatives(
    cell: Cell, index: int, arg: int, old: dict[str, int], new: dict[str, int]
) -> Iterator[tuple[str, int]]:
    for state, leaf in old.items():
        if arg == leaf:
            for other, place in old.items():
                if other != state and _one_width(cell, state, other):
                    yield f"{other} for {state}", place
            if new[state] < index and leaf not in (new[state],):
                yield f"the new {state} for the old", new[state]
        elif arg == new[state] and index not in ancestors(cell.graph.nodes, [arg]):
            yield f"the old {state} for the new", leaf


def _reading(node: Node, place: int, other: int) -> Make:
    # a node's operands come first in its graph, and `builder` numbers the nodes before it as the graph does
    return lambda builder, args: builder.add(node.op, (*args[:place], other, *args[place + 1 :]), node.name)


def _exchanged_maps(cell: Cell) -> Iterator[tuple[str, Graph]]:
    for op, letter, ends in (("input", "W", ("x.{}",)), ("map", "U", ("R.{}", "{}.R")), ("vector", "p", ("p.{}",))):
        for one, other in combinations(cell.graph.names(op), 2):
            if all(_one_width(cell, end.format(one), end.format(other)) for end in ends):
                names = {one: other, other: one}
                nodes = tuple(replace(n, name=names.get(n.name, n.name)) if n.op == op else n for n in cell.graph.nodes)
                yield f"{letter}_{one} and {letter}_{other} are exchanged", Graph(nodes, cell.graph.results)


def _transposed_maps(cell: Cell) -> Iterator[PlannedMutant]:
    plan = schedule(cell)
    for name, mode in zip(cell.graph.names("map"), cycle(MODES), strict=False):
        if _one_width(cell, f"R.{name}", f"{name}.R"):
            values, gradients = MODES[mode]
            turn = _turned(name)
            fault = Fault(cell, plan, plan)
            fault = replace(fault, forward_params=turn) if values else fault
            fault = replace(fault, backward_params=turn, parameter_gradients=turn) if gradients else fault
            yield faulty_cell(f"{cell.name}: U_{name} is transposed ({mode})",
                              f"In {cell.name}, the map U_{name} is transposed.", fault)  # fmt: skip


def _turned(name: str) -> Any:
    def turn(params: Tree) -> Tree:
        return {**params, "U": {**params["U"], name: params["U"][name].T}}

    return turn


def _one_width(cell: Cell, one: str, other: str) -> bool:
    return any(one in members and other in members for members in cell.width_classes)


def _shown(nodes: tuple[Node, ...], index: int) -> str:
    node = nodes[index]
    operands = " and ".join(nodes[arg].name or nodes[arg].op for arg in node.args)
    return f"{node.op} {index} of {operands}" + (f" in {node.name}" if node.name else "")
