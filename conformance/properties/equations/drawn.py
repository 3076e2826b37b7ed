"""Cells that nobody thought of: whatever can be declared has the oracle's values and gradients.

The other laws are judged on cells that never change, and a backend may be right for these alone. Here every seed asks
for other cells: hundreds where a network costs nothing, a few where each is compiled.
"""

from __future__ import annotations

from conformance import tolerance
from conformance.cases import Case, drawn_cell_cases, drawn_cell_programs
from conformance.judge import Judge
from conformance.properties.asking import ask
from conformance.properties.equations.words import wording
from conformance.properties.networks import Labels
from conformance.registry import Scope, law
from conformance.statements import VALUES
from conformance.tolerance import PROFILES
from rnnspec import Backend

DRAWN, DRAWN_WIDE, DRAWN_BRIEF = 20, 50, 3
"""Labels, each for as many cells as there are examples: in the default tier, in the deep one, in the smoke tier."""
PROGRAMS, PROGRAMS_WIDE = 1, 15
"""The same where every cell is compiled."""


def eager(scope: Scope) -> Labels:
    """Networks of drawn cells, where another network costs no program; and one with every function."""
    if not scope.eager or scope.shapes or scope.closed:
        return {}
    count = DRAWN_BRIEF if scope.brief else DRAWN_WIDE if scope.wide else DRAWN
    return {**{f"drawn cell {i}": drawn_cell_cases() for i in range(count)}, **wording(scope)}


def all_backends(scope: Scope) -> Labels:
    """The same, and where each cell is compiled as many as there are programs left for."""
    if scope.eager or scope.shapes or scope.closed or scope.brief:
        return eager(scope)
    count = PROGRAMS_WIDE if scope.wide else PROGRAMS
    return {**{f"drawn cell {i}": drawn_cell_programs() for i in range(count)}, **wording(scope)}


@law(VALUES["P120"], cases=eager, needs=("lengths",), also=("bidirectional", "policies"), oracle=True)
def drawn_values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares outputs and final states, of every step or of the last, with the oracle."""
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(VALUES["P121"], cases=all_backends, needs=("lengths", "gradients"), also=("bidirectional", "policies"),
     oracle=True)  # fmt: skip
def drawn_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """The vector-Jacobian product; a loss, its gradients and the final state where that is one program."""
    profile = PROFILES[backend.precision]
    if case.net.loss is None:
        judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, profile))
    else:
        judge.close("value_and_grad", ask(backend, case).step(), tolerance.value_and_grad(case, profile))
