"""Mutants of the equations with matrices and with `x` itself: a wrong operand, or a gradient that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.mutants.derived.planned import MODES, Fault, PlannedMutant, faulty_cell
from conformance.mutants.derived.rewrite import Make, Rewrite, rewrite_graph
from conformance.properties.equations.columns import attending
from conformance.properties.equations.heads import SPLIT
from rnnspec import Cell
from rnnspec.derivation.adjoint import Adjoint
from rnnspec.derivation.schedule import arrange, schedule
from rnnspec.tracing.graph import Graph, GraphBuilder, Node, iterate

__all__ = ["matrix_mutants"]

HEADED = SPLIT.layers[0].cell
"""A cell of two heads that split `x`."""


def matrix_mutants() -> Iterator[PlannedMutant]:
    """One for each operation of matrices and each of its gradients; then those of `x` itself and of turned maps."""
    [(state, _)], new = iterate(attending.graph.nodes, "state"), attending.graph.result("S")
    for says, place, make, mode in _rewrites(attending.graph, state, new):
        yield _rewritten(attending, says, place, make, mode)
    turned, node = next(iterate(HEADED.graph.nodes, "transposed"))
    yield _rewritten(HEADED, "a transposed map is applied as it is", turned, _as_map(node), "both")
    adjoint = schedule(HEADED).adjoint
    kept = tuple(entry for entry in adjoint.leaves if entry[0][0] != "x")
    yield _adjoint("the cotangent of x itself is not added to the inputs' gradient", replace(adjoint, leaves=kept))
    forward = [use for use in adjoint.maps if adjoint.nodes[use.operand].op == "state" or use.name != "h"]
    yield _adjoint("a map learns nothing where it is transposed", replace(adjoint, maps=tuple(forward)))


def _rewrites(graph: Graph, state: int, new: int) -> Iterator[tuple[str, int, Make, str]]:
    """What is wrong, the node in whose place another stands, that one, and in which passes."""
    nodes = graph.nodes
    [outer] = [index for index, _ in iterate(nodes, "outer")]
    column = next(i for i, node in iterate(nodes, "matmul") if node.args[0] == new)
    row = next(i for i, node in iterate(nodes, "matmul") if node.args[1] == new)
    scaled = next(i for i, node in iterate(nodes, "multiply") if outer in node.args)
    total = next(i for i, node in iterate(nodes, "total") if node.args[0] == new)
    yield "S @ b reads the state before the update", column, _reading(column, nodes, 0, state), "both"
    yield "a @ S reads the state before the update", row, _reading(row, nodes, 1, state), "both"
    yield "S @ b passes no gradient to S", column, _stopped(nodes[column], 0), "backward"
    yield "S @ b passes no gradient to b", column, _stopped(nodes[column], 1), "backward"
    yield "a @ S passes no gradient to a", row, _stopped(nodes[row], 0), "backward"
    yield "a @ S passes no gradient to S", row, _stopped(nodes[row], 1), "backward"
    yield "outer passes no gradient to its rows", outer, _stopped(nodes[outer], 0), "backward"
    yield "outer passes no gradient to its columns", outer, _stopped(nodes[outer], 1), "backward"
    yield "a number times a matrix is the matrix", scaled, _the_matrix(nodes[scaled], outer), "both"
    unlearned = _stopped(nodes[scaled], 1 - nodes[scaled].args.index(outer))
    yield "a matrix passes no gradient to the number that it is multiplied by", scaled, unlearned, "backward"
    yield "the total of a matrix is the mean", total, _mean, "both"
    yield "the total of a matrix passes no gradient", total, _stopped(nodes[total], 0), "backward"


def _rewritten(cell: Cell, says: str, place: int, make: Make, mode: str) -> PlannedMutant:
    wrong = schedule(replace(cell, graph=rewrite_graph(cell.graph, Rewrite(says, place, make))))
    right, (values, gradients) = schedule(cell), MODES[mode]
    fault = Fault(cell, wrong if values else right, wrong if gradients else right)
    return faulty_cell(f"equations of matrices: {says}", f"In equations, {says}.", fault)


def _adjoint(says: str, adjoint: Adjoint) -> PlannedMutant:
    fault = Fault(HEADED, schedule(HEADED), arrange(HEADED, adjoint))
    return faulty_cell(f"equations of matrices: {says}", f"In the adjoint, {says}.", fault)


def _reading(index: int, nodes: tuple[Node, ...], place: int, other: int) -> Make:
    return lambda builder, args: builder.add(nodes[index].op, (*args[:place], other, *args[place + 1 :]))


def _stopped(node: Node, place: int) -> Make:
    def stop(builder: GraphBuilder, args: tuple[int, ...]) -> int:
        held = builder.add("stop", (args[place],))
        return builder.add(node.op, (*args[:place], held, *args[place + 1 :]), node.name)

    return stop


def _the_matrix(node: Node, matrix: int) -> Make:
    place = node.args.index(matrix)
    return lambda builder, args: args[place]


def _mean(builder: GraphBuilder, args: tuple[int, ...]) -> int:
    return builder.add("divide", (builder.add("total", args), builder.add("width", args)))


def _as_map(node: Node) -> Make:
    return lambda builder, args: builder.add("map", args, node.name)
