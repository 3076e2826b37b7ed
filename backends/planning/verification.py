"""Verification of plans: the calls are run with one number for each vector, and compared with the equations.

The numbers of leaves are drawn. The equations give the numbers of all other nodes; the calls give the numbers at all
places. However a plan reorders, joins or rewrites calls and reuses memory, its results must be the same numbers. The
verifier does not know who reads what, or for how long: an overwritten place holds another number, a place that was
never written holds none, and columns that are part of a vector, or of two, are no vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from backends.planning.columns import Columns, WrongPlan, refuse
from backends.planning.emission import Call, Place
from backends.planning.equations import STEPS, Draw, Equations
from backends.planning.plan import Plan
from rnnspec.derivation.schedule import Schedule
from rnnspec.tracing.cell import OUTPUT

__all__ = ["WrongPlan", "verify"]

CHUNK = 2
"""A full chunk of the three steps, and a part of one."""
CLOSE = 1e-6
"""The largest relative difference of two ways to compute one number."""
DRAWS = 3
"""A plan is wrong if it fails for this number of draws, since rounding may grow for one draw by chance."""


def verify(plan: Plan, schedule: Schedule) -> None:
    """Run a plan, forward and back, and compare what it leaves with the equations of a schedule.

    Raises WrongPlan where a call reads a missing value or writes over what it reads, and where an output, a final state
    or a gradient is not the number of the equations.
    """
    for number in range(DRAWS):
        try:
            _verify(plan, schedule, Draw(number))
        except WrongPlan:
            if number == DRAWS - 1:
                raise
        else:
            return


def _verify(plan: Plan, schedule: Schedule, drawn: Draw) -> None:
    equations, memory = Equations(schedule, drawn, plan.widths), Columns(plan, drawn)
    _verify_run(plan, schedule, equations, memory)
    if schedule.adjoint.leaves or schedule.adjoint.maps:
        _verify_pullback(plan, schedule, equations, memory)


def _verify_run(plan: Plan, schedule: Schedule, equations: Equations, memory: Columns) -> None:
    graph, drawn = schedule.cell.graph, equations.drawn
    for state in schedule.cell.states:
        memory.put_state(state, 0, drawn(f"state {state}"))
    for t in range(STEPS):
        for name, scale, place in plan.inputs:
            memory.put(place, t, drawn(f"input {name} {t}") * scale)
        if plan.x is not None:
            memory.put(plan.x, t, drawn(f"x {t}"))
    memory.run("before", plan.before, range(STEPS))
    for t in range(STEPS):
        memory.run("step", plan.step, [t])
    memory.run("after", plan.after, range(STEPS))
    for t, values in enumerate(equations.values):
        _expect(plan, f"the output of step {t}", memory.get(plan.output, t), values[graph.result(OUTPUT)])
    for state in schedule.cell.states:
        _expect(plan, f"the final {state}", memory.get_state(state, STEPS), equations.values[-1][graph.result(state)])


def _verify_pullback(plan: Plan, schedule: Schedule, equations: Equations, memory: Columns) -> None:
    drawn = equations.drawn
    for t in range(STEPS):
        memory.put(plan.output_cotangent, t, drawn(f"cotangent {t}"))
    for state, place in plan.carried.items():
        memory.put(place, 0, drawn(f"cotangent {state}"))
    own = schedule.cell.output_state
    received = () if own is None else (_addition(plan.carried[own], plan.output_cotangent),)
    for low in reversed(range(0, STEPS, CHUNK)):
        chunk = range(low, min(STEPS, low + CHUNK))
        memory.run("pull_before", plan.pull_before, chunk)
        for t in reversed(chunk):
            memory.run("pull_step", (*received, *plan.pull_step), [t])
    memory.run("pull_after", plan.pull_after, range(STEPS))
    carried = equations.pulled_back()
    for state, place in plan.carried.items():
        _expect(plan, f"the cotangent of the first {state}", memory.get(place, 0), carried[state])
    for t, values in enumerate(equations.values):
        found = memory.gradients(plan.input_gradients, t) + memory.gradients(plan.map_gradients, t)
        found += [(f"p {name}", memory.get(place, t)) for name, place in plan.vector_gradients]
        found += [("x", memory.get(plan.x_gradient, t))] if plan.x_gradient else []
        expected = [(f"x {name}", values[n]) for (op, name), n in schedule.adjoint.leaves if op == "input"]
        expected += [(f"R {u.name}", values[u.cotangent] * values[u.operand]) for u in schedule.adjoint.maps]
        expected += [(f"p {name}", values[n]) for (op, name), n in schedule.adjoint.leaves if op == "vector"]
        expected += [("x", values[n]) for (op, _), n in schedule.adjoint.leaves if op == "x"]
        for name in {name for name, _ in (*found, *expected)}:
            _expect(plan, f"the gradient of {name} at step {t}", _sum(found, name), _sum(expected, name))


def _expect(plan: Plan, what: str, got: float, expected: float) -> None:
    if not math.isclose(got, expected, rel_tol=CLOSE, abs_tol=CLOSE):
        refuse(plan, f"{what} is {got}, and {expected} in the equations")


def _addition(to: Place, what: Place) -> Call:
    return Call("add", (to, what), to)


def _sum(found: Iterable[tuple[str, float]], name: str) -> float:
    return sum(value for other, value in found if other == name)
