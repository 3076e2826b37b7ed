"""All mutants: those of the suite, and those of installed plugins, through one hook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pluggy

from conformance.cases import CELLS
from conformance.mutants.calls import arguments, bound, few, leftovers, memory, paths, segments, sharing, spans
from conformance.mutants.control import governed, guards, policies, rules
from conformance.mutants.derived.choices import choice_mutants
from conformance.mutants.derived.equations import equation_mutants
from conformance.mutants.derived.functions import function_mutants
from conformance.mutants.derived.gradients import adjoint_mutants
from conformance.mutants.derived.loop import loop_mutants
from conformance.mutants.derived.matrices import matrix_mutants
from conformance.mutants.faulty import protocol_mutants
from conformance.mutants.learning import alignments, losses, nothing, training
from conformance.mutants.noise import masks
from conformance.mutants.parallel import chunks, halves, scans, ways
from conformance.mutants.parts import embedding, heads, matrices, models, operands
from conformance.mutants.ranges import blocks, counters, extents, numbers, small, vanishing
from conformance.mutants.sequences import biases, cotangents, lengths, reach, readings, resets, states, steps
from conformance.mutants.sequences.forgetting import forgetting_mutants
from conformance.mutants.workers import exchanges, shards
from conformance.own_cell import leaky_gate
from rnnspec import Cell, Mutant, backend_names, hookimpl
from rnnspec.errors import BackendError
from rnnspec.interface.plugins import BackendHooks, load

__all__ = ["OwnMutants", "mutants", "mutants_of_cell"]


class OwnMutants:
    """The suite's own plugin."""

    @hookimpl
    def rnnspec_mutants(self) -> Iterable[Mutant]:
        """The protocol's faults, then those of every cell."""
        yield from _protocol()
        yield from forgetting_mutants()
        yield from choice_mutants()
        yield from function_mutants()
        yield from matrix_mutants()
        for cell in (*CELLS.values(), leaky_gate):
            yield from mutants_of_cell(cell)


def mutants_of_cell(cell: Cell) -> Iterator[Mutant]:
    """What can be generated from a cell."""
    yield from equation_mutants(cell)
    yield from adjoint_mutants(cell)
    yield from loop_mutants(cell)


def mutants() -> tuple[Mutant, ...]:
    """Every mutant, the suite's own first. A plugin that does not load has none."""
    manager = pluggy.PluginManager("rnnspec")
    manager.add_hookspecs(BackendHooks)
    manager.register(OwnMutants())
    found = [mutant for given in manager.hook.rnnspec_mutants() for mutant in given]
    return tuple(found + [mutant for name in backend_names() for mutant in _of_plugin(name)])


def _protocol() -> Iterator[Mutant]:
    calls = (states, lengths, steps, cotangents, losses, alignments, numbers, memory, sharing, paths, extents, blocks,
             arguments, counters, readings, few)  # fmt: skip
    questions = (spans, training, leftovers, nothing, vanishing, reach, small, resets)
    parallel = (chunks, halves, scans, ways)
    parts = (heads, matrices, bound, biases, *parallel, operands, masks, models, embedding, exchanges, shards)
    for module in (*calls, policies, rules, guards, segments, governed, *questions, *parts):
        yield from protocol_mutants(module)


def _of_plugin(name: str) -> list[Mutant]:
    try:
        return [mutant for given in load(name).hook.rnnspec_mutants() for mutant in given]
    except BackendError:
        return []
