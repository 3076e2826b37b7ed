"""Mutants of a cell's adjoint, generated from it: a backward node replaced, gradients exchanged, a stale value read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np

from conformance.mutants.derived.equations import instead
from conformance.mutants.derived.planned import Fault, PlannedMutant, faulty_cell
from conformance.mutants.derived.rewrite import Make, Rewrite, canonical_adjoint, rewrite_adjoint
from rnnspec import Cell
from rnnspec.contract.arrays import Array
from rnnspec.derivation.adjoint import Adjoint, MapCotangent
from rnnspec.derivation.schedule import arrange, schedule
from rnnspec.tracing.graph import Node, ancestors
from rnnspec.tree import Tree

__all__ = ["adjoint_mutants"]


def adjoint_mutants(cell: Cell) -> Iterator[PlannedMutant]:
    """Every backward node replaced in one way, in turn; every gradient lost or exchanged; every saved value stale."""
    right = schedule(cell)
    for rewrite in _rewrites(right.adjoint):
        yield _mutant(cell, rewrite.says, rewrite_adjoint(right.adjoint, rewrite))
    for says, adjoint in _lost_and_exchanged(cell, right.adjoint):
        yield _mutant(cell, says, adjoint)
    for says, trace in _stale(cell):
        name = f"{cell.name}: {says} (adjoint)"
        yield faulty_cell(name, f"In the gradients of {cell.name}, {says}.", Fault(cell, right, right, trace=trace))
    for name in cell.graph.names("map"):
        lost = _without("U", name)
        fault = Fault(cell, right, right, parameter_gradients=lost)
        yield faulty_cell(f"{cell.name}: dU_{name} is zeros (adjoint)",
                          f"In {cell.name}, the gradient of U_{name} is missing.", fault)  # fmt: skip


def _mutant(cell: Cell, says: str, adjoint: Adjoint) -> PlannedMutant:
    right = schedule(cell)
    twin = "the canonical adjoints are equal" if canonical_adjoint(adjoint) == canonical_adjoint(right.adjoint) else ""
    fault = Fault(cell, right, arrange(cell, adjoint))
    return faulty_cell(f"{cell.name}: {says} (adjoint)", f"In the adjoint of {cell.name}, {says}.", fault, twin)


def _rewrites(adjoint: Adjoint) -> Iterator[Rewrite]:
    turn = count()
    wanted = [index for _, index in adjoint.leaves] + [use.cotangent for use in adjoint.maps]
    for index in sorted(i for i in ancestors(adjoint.nodes, wanted) if i >= adjoint.forward):
        node = adjoint.nodes[index]
        constant = any(adjoint.nodes[arg].op == "constant" for arg in node.args)
        found = [(says, make) for says, make in instead(node) if "only" not in says or not constant]
        if node.op == "transposed":
            found = [("is negated", _negated(node))]
        if found:
            says, make = found[next(turn) % len(found)]
            operands = " and ".join(f"{adjoint.nodes[a].op} {a}" for a in node.args)
            yield Rewrite(f"{node.op} {index} of {operands} {says}", index, make)


def _negated(node: Node) -> Make:
    return lambda builder, args: builder.add("negate", (builder.add(node.op, args, node.name),))


def _lost_and_exchanged(cell: Cell, adjoint: Adjoint) -> Iterator[tuple[str, Adjoint]]:
    for leaf, _ in adjoint.leaves:
        kept = tuple(entry for entry in adjoint.leaves if entry[0] != leaf)
        yield f"the cotangent of {leaf[0]} {leaf[1]} is missing", replace(adjoint, leaves=kept)
    inputs = [leaf for leaf, _ in adjoint.leaves if leaf[0] in ("input", "vector")]
    for one, other in pairwise(inputs):
        if one[0] == other[0] and _one_width(cell, one, other):
            names = {one: other, other: one}
            leaves = tuple((names.get(leaf, leaf), index) for leaf, index in adjoint.leaves)
            yield f"the cotangents of {one[0]} {one[1]} and {other[1]} are exchanged", replace(adjoint, leaves=leaves)
    for one_use, other_use in pairwise(adjoint.maps):
        if one_use.operand == other_use.operand:
            swapped = {one_use: other_use.cotangent, other_use: one_use.cotangent}
            maps = tuple(MapCotangent(u.name, swapped.get(u, u.cotangent), u.operand) for u in adjoint.maps)
            yield f"dU_{one_use.name} and dU_{other_use.name} are exchanged", replace(adjoint, maps=maps)


def _one_width(cell: Cell, one: tuple[str, str], other: tuple[str, str]) -> bool:
    letter = {"input": "x", "vector": "p"}[one[0]]
    return any({f"{letter}.{one[1]}", f"{letter}.{other[1]}"} <= members for members in cell.width_classes)


def _stale(cell: Cell) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    plan = schedule(cell)
    for index, shift in zip(plan.saved, _alternating(), strict=False):
        node = plan.nodes[index]
        if node.op not in ("vector", "constant"):
            when = "of the step before" if shift > 0 else "of the step after"
            yield f"{node.op} {node.name or index} {when} is read", _shifted(index, shift)


def _alternating() -> Iterator[int]:
    return (1 if turn % 2 else -1 for turn in count())


def _shifted(index: int, shift: int) -> Callable[[Any], Any]:
    def spoil(trace: Any) -> Any:
        return replace(trace, values={**trace.values, index: shifted(trace.values[index], shift)})

    return spoil


def shifted(values: Array, shift: int) -> Array:
    """Values over time, each step given those of `shift` steps before; the ends are repeated."""
    steps = np.clip(np.arange(len(values)) - shift, 0, len(values) - 1)
    return np.asarray(values)[steps]


def _without(kind: str, name: str) -> Callable[[Tree], Tree]:
    def lose(gradients: Tree) -> Tree:
        return {**gradients, kind: {**gradients[kind], name: np.zeros_like(gradients[kind][name])}}

    return lose
