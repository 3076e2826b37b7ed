"""Published cells: every cell of the specification has the oracle's values and gradients.

The other laws are judged on few cells, again and again. Here several cells that they leave out stand above one another,
so that a backend that compiles needs two programs for all of them together.
"""

from __future__ import annotations

from dataclasses import replace

from conformance import tolerance
from conformance.cases import BATCH, INPUTS, PUBLISHED, STEPS, Case, Pull, cases, hidden_for
from conformance.judge import Judge
from conformance.properties.asking import ask
from conformance.properties.extents import storeys, tower
from conformance.properties.networks import Labels
from conformance.registry import Scope, law
from conformance.statements import VALUES
from conformance.tolerance import PROFILES
from rnnspec import Backend, Cell

STOREYS = 5
"""Cells above one another: of more, too many cases are ill-posed in float32."""


def published(scope: Scope) -> Labels:
    """The published cells that no other law has, a few above one another, in alternating directions.

    Where there are no other cells than those of the scope, these.
    """
    if scope.shapes or (scope.brief and not scope.eager):
        return {}
    others = [] if scope.closed else [cell for cell in PUBLISHED.values() if cell not in scope.cells]
    chosen = others or list(scope.cells)
    towers = [storeys(tuple(chosen[low : low + STOREYS])) for low in range(0, len(chosen), STOREYS)]
    return {_label(each): cases([tower(INPUTS, each, hidden_for)]).map(_everything) for each in towers}


def _label(each: tuple[Cell, ...]) -> str:
    return ", ".join(dict.fromkeys(cell.name for cell in each))


def _everything(case: Case) -> Case:
    """The case with lengths, and cotangents of outputs and of final states."""
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH, pull=Pull.BOTH)


@law(VALUES["P123"], cases=published, needs=("lengths",), oracle=True, once=True)
def published_values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares outputs and the final states of all cells with the oracle."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(VALUES["P124"], cases=published, needs=("lengths", "gradients"), oracle=True, once=True)
def published_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the gradients of parameters, inputs and initial states of all cells with the oracle."""
    judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))
