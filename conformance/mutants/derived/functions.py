"""Mutants of the functions that no shipped cell has: derivatives of the wrong sign, a gradient not stopped, widths.

With `stop` a wrong derivative can be written as equations: `2 * stop(y) - y` has the value of `y`, and its derivative
with the wrong sign.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.mutants.derived.planned import MODES, Fault, PlannedMutant, faulty_cell
from conformance.mutants.derived.rewrite import Make, Rewrite, rewrite_graph
from conformance.properties.equations.words import worded
from rnnspec import Cell
from rnnspec.derivation.adjoint import derive
from rnnspec.derivation.schedule import arrange, schedule
from rnnspec.tracing.graph import GraphBuilder, Node, iterate

__all__ = ["function_mutants"]

LINEAR = ("add", "subtract", "multiply", "negate")
"""Functions whose derivatives are those of the shipped cells."""


def function_mutants() -> Iterator[PlannedMutant]:
    """One for the derivative of each function, and one for each other way to take a function for another."""
    nodes = worded.graph.nodes
    for op in sorted({node.op for node in nodes if node.args} - {"map", "stop", "width", *LINEAR}):
        place = max(index for index, _ in iterate(nodes, op))
        yield _mutant(f"the derivative of {op} has the wrong sign", place, _turned(nodes[place]), "backward")
    for says, op, make, mode in _OTHERS:
        yield _mutant(says, next(index for index, _ in iterate(nodes, op)), make, mode)


def _mutant(says: str, place: int, make: Make, mode: str) -> PlannedMutant:
    graph = rewrite_graph(worded.graph, Rewrite(says, place, make))
    right, wrong = schedule(worded), arrange(Cell("worded", worded.states, graph), derive(graph))
    values, gradients = MODES[mode]
    fault = Fault(worded, wrong if values else right, wrong if gradients else right)
    return faulty_cell(f"functions: {says}", f"In equations, {says}.", fault)


def _turned(node: Node) -> Make:
    def turn(builder: GraphBuilder, args: tuple[int, ...]) -> int:
        y = builder.add(node.op, args)
        twice = builder.add("multiply", (builder.constant(2.0), builder.add("stop", (y,))))
        return builder.add("subtract", (twice, y))

    return turn


def _one_more(builder: GraphBuilder, args: tuple[int, ...]) -> int:
    return builder.add("add", (builder.add("width", args), builder.constant(1.0)))


def _of_a_state(builder: GraphBuilder, args: tuple[int, ...]) -> int:
    others = [index for index, node in iterate(builder.nodes, "state") if index not in args]
    return builder.add("width", (others[0],))


_OTHERS: tuple[tuple[str, str, Make, str], ...] = (
    ("stop passes the gradient", "stop", lambda builder, args: args[0], "backward"),
    ("stop passes no value", "stop", lambda builder, args: builder.constant(0.0), "both"),
    ("cos is sin", "cos", lambda builder, args: builder.add("sin", args), "both"),
    ("erf is tanh", "erf", lambda builder, args: builder.add("tanh", args), "both"),
    ("a width counts one more", "width", _one_more, "both"),
    ("a width is that of another vector", "width", _of_a_state, "both"),
)
