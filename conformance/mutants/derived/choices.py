"""Mutants of how a cell that chooses is pulled back: the selection stands within the product, or there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conformance.mutants.derived.planned import Fault, PlannedMutant, faulty_cell
from conformance.properties.equations.choices import choosy
from rnnspec.derivation.adjoint import Adjoint, MapCotangent
from rnnspec.derivation.schedule import arrange, schedule
from rnnspec.tracing.graph import GraphBuilder

__all__ = ["choice_mutants"]

Select = Callable[[GraphBuilder, int, int, bool], int]
"""A selection of a cotangent by a condition, where it holds or where it does not."""


def choice_mutants() -> Iterator[PlannedMutant]:
    """Every selection of the adjoint, made in another way."""
    right = schedule(choosy)
    for says, select in _WAYS.items():
        wrong = arrange(choosy, _selected(right.adjoint, select))
        yield faulty_cell(f"choices: {says}", f"In gradients, {says}.", Fault(choosy, right, wrong))


def _within(builder: GraphBuilder, condition: int, cotangent: int, holds: bool) -> int:
    node = builder.nodes[cotangent]
    if node.op != "multiply":
        return _right(builder, condition, cotangent, holds)
    return builder.add("multiply", (_right(builder, condition, node.args[0], holds), node.args[1]))


def _right(builder: GraphBuilder, condition: int, cotangent: int, holds: bool) -> int:
    zero = builder.constant(0.0)
    return builder.add("where", (condition, *((cotangent, zero) if holds else (zero, cotangent))))


def _masked(builder: GraphBuilder, condition: int, cotangent: int, holds: bool) -> int:
    return builder.add("multiply", (cotangent, _right(builder, condition, builder.constant(1.0), holds)))


_WAYS: dict[str, Select] = {
    "a selection stands within its product": _within,
    "a selection is a product with 0 and 1": _masked,
    "what is not chosen counts too": lambda builder, condition, cotangent, holds: cotangent,
    "what is not chosen counts, and what is does not": lambda b, c, d, holds: _right(b, c, d, not holds),
    "nothing is chosen": lambda builder, condition, cotangent, holds: builder.constant(0.0),
}


def _selected(adjoint: Adjoint, select: Select) -> Adjoint:
    """The adjoint with every selection of a cotangent against 0 made in another way."""
    builder = GraphBuilder(list(adjoint.nodes[: adjoint.forward]))
    place = {index: index for index in range(adjoint.forward)}
    zero = {i for i, node in enumerate(adjoint.nodes) if node.op == "constant" and node.value == 0}
    for index, node in enumerate(adjoint.nodes[adjoint.forward :], adjoint.forward):
        args = tuple(place[arg] for arg in node.args)
        if node.op == "where" and zero & set(node.args[1:]):
            holds = node.args[2] in zero
            place[index] = select(builder, args[0], args[1] if holds else args[2], holds)
        else:
            place[index] = builder.add(node.op, args, node.name, node.value)
    leaves = tuple((leaf, place[index]) for leaf, index in adjoint.leaves)
    maps = tuple(MapCotangent(use.name, place[use.cotangent], use.operand) for use in adjoint.maps)
    return Adjoint(tuple(builder.nodes), adjoint.forward, leaves, maps)
