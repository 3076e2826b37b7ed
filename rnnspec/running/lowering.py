"""The generic lowering: a scheduled cell run with the arrays of any framework, for one layer in one direction.

The file follows the data: the packed input product before the loop, the loop, the nodes after it; then the same for the
adjoint; last the gradients of the maps, each one product over all steps. A cell without a state has no loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.contract.resets import Resets
from rnnspec.control.recurrence import HOOKS, Recurrence, trace_hook
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.axes import Axes
from rnnspec.running.beginning import LEARNED
from rnnspec.running.columns import columns
from rnnspec.running.evaluation import INPUTS, Evaluator, evaluate_graph, primitive
from rnnspec.running.gradients import map_gradients
from rnnspec.running.maps import Maps
from rnnspec.tracing.graph import iterate
from rnnspec.tracing.widths import OUTPUT
from rnnspec.tree import Tree

__all__ = ["Trace", "backward", "evaluate_graph", "forward", "primitive"]

MARKS = ("mask", "reset", "steps")
"""The keys of what a loop reads of each step beside its values."""


@dataclass(frozen=True)
class Trace:
    """The values of a forward run that the adjoint reads: by node over time, with inputs, mask and resets."""

    values: Values
    inputs: Array
    mask: Array | None
    resets: Resets | None = None


def forward(
    arrays: Arrays, plan: Schedule, params: Tree, inputs: Array, state: Values, mask: Array | None,
    resets: Resets | None = None,
) -> tuple[Array, Values, Trace]:
    """Outputs (time, batch, feature), the final state, and the trace that `backward` needs.

    `mask` (time, batch, 1) is true at the real steps, which come first; after them outputs are 0 and states stay.
    `resets` are the steps that start from zeros, or from the learned states among `params`. There is at least one step.
    """
    cell = plan.cell
    arrays = columns(arrays) if plan.columns else arrays
    maps, axes = Maps(arrays, plan, params, state, inputs), Axes(arrays, plan, inputs)
    evaluator, learned = Evaluator(arrays, plan, maps), params.get(LEARNED, {})
    values = evaluator.run(plan.forward.before, axes.given())
    results = {name: cell.graph.result(name) for name in cell.states}
    leaf = {node.name: index for index, node in iterate(cell.graph.nodes, "state")}
    step_nodes = set(plan.forward.step)
    read: set[Any] = {arg for i in step_nodes for arg in plan.nodes[i].args} | set(results.values())
    read |= {INPUTS} if any(plan.nodes[i].op == "input" for i in step_nodes) else set()
    kept = [i for i in (*leaf.values(), *plan.forward.step) if i in _kept(plan)]

    def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
        env = still | {i: a for i, a in now.items() if i not in MARKS}
        env |= {leaf[s]: axes.fresh(now.get("reset"), s, a, learned.get(s)) for s, a in carried.items() if s in leaf}
        evaluator.run(plan.forward.step, env)
        new = {s: axes.like(i, evaluator.value(i, env), carried[s]) for s, i in results.items()}
        new = {s: axes.select(now.get("mask"), s, a, carried[s]) for s, a in new.items()}
        return new, {i: env[i] for i in kept}

    over_time, still = axes.moving({i: values[i] for i in read if i in values})
    over_time |= _marks(mask, resets)
    final, recorded = arrays.scan(body, state, over_time, inputs.shape[0], False) if cell.states else ({}, {})
    final = {s: arrays.copy(a) if a is state[s] else a for s, a in final.items()}
    values |= recorded
    evaluator.run(plan.forward.after, values)
    output = cell.graph.result(OUTPUT)
    outputs = axes.beside(axes.real(mask, output, axes.wide(output, evaluator.value(output, values))))
    kept_values = {i: values[i] for i in plan.saved if i in values and plan.nodes[i].op != "x"}
    return outputs, final, Trace(kept_values, inputs, mask, resets)


def backward(
    arrays: Arrays, plan: Schedule, params: Tree, trace: Trace, output_cotangent: Array, state_cotangent: Values,
    policy: Recurrence | None,
) -> tuple[Tree, Array, Values]:
    """The cotangents of the parameters, the inputs and the initial state; `output_cotangent` is 0 after a row's end.

    No cotangent passes a reset; that of learned states is a sum over resets and rows. The policy counts the steps of
    each part where the trace has them.
    """
    cell, mask = plan.cell, trace.mask
    maps, axes = Maps(arrays, plan, params, state_cotangent, trace.inputs), Axes(arrays, plan, trace.inputs)
    evaluator = Evaluator(arrays, plan, maps)
    values = trace.values | axes.given()
    leaf = {node.name: index for index, node in iterate(plan.nodes, "cotangent")}
    output_cotangent = axes.heads.apart(output_cotangent, OUTPUT)
    if OUTPUT in leaf:
        values[leaf[OUTPUT]] = output_cotangent
    evaluator.run(plan.backward.before, values)
    hooks = {hook: trace_hook(policy, hook, cell.states) if policy else None for hook in HOOKS}
    gradients = {i for _, i in plan.adjoint.leaves} | plan.factors
    wanted = gradients | {arg for i in plan.backward.after for arg in plan.nodes[i].args}
    in_loop = set(plan.backward.step) | {leaf[s] for s in cell.states if s in leaf}
    read = {arg for i in plan.backward.step for arg in plan.nodes[i].args}
    read |= {i for (op, _), i in plan.adjoint.leaves if op == "state"}

    def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
        reached = dict(carried)
        if cell.output_state is not None:
            reached[cell.output_state] = arrays.functions["add"](reached[cell.output_state], now["output"])
        reached = axes.hooked(hooks["total"], reached, _step(arrays, now, t))
        env = still | {i: a for i, a in now.items() if not isinstance(i, str)}
        env |= {leaf[s]: a for s, a in reached.items() if s in leaf}
        evaluator.run(plan.backward.step, env)
        passed = {s: _state_cotangent(evaluator, plan, s, env, carried[s]) for s in carried}
        learned = _learned(axes, params, now, passed)
        if hooks["carry"] is not None:
            inner = arrays.functions["greater"](arrays.as_scalar(t), arrays.scalar(0.5))
            cut = axes.hooked(hooks["carry"], passed, _step(arrays, now, t))
            passed = {s: arrays.functions["where"](inner, cut[s], passed[s]) for s in passed}
        passed = {s: axes.fresh(now.get("reset"), s, a) for s, a in passed.items()}
        new = {s: axes.select(now.get("mask"), s, passed[s], carried[s]) for s in carried}
        return new, {i: env[i] for i in wanted & in_loop} | learned

    over_time, still = axes.moving({i: values[i] for i in read if i in values})
    over_time |= _marks(mask, trace.resets)
    over_time |= {"output": output_cotangent} if cell.output_state is not None else {}
    steps = trace.inputs.shape[0]
    initial, recorded = arrays.scan(body, state_cotangent, over_time, steps, True) if cell.states else ({}, {})
    evaluator.run(plan.backward.after, values := values | recorded)
    real = {i: axes.real(mask, i, axes.wide(i, evaluator.value(i, values))) for i in gradients}
    own, inputs = map_gradients(arrays, plan, maps, trace.inputs, real)
    return own | _of_learned(arrays, params, recorded), inputs, initial


def _learned(axes: Axes, params: Tree, now: Values, passed: Values) -> Values:
    """The cotangents of learned states in the rows that a step resets."""
    return {(LEARNED, s): axes.begun(now["reset"], s, passed[s]) for s in params.get(LEARNED, ()) if "reset" in now}


def _of_learned(arrays: Arrays, params: Tree, recorded: Values) -> Tree:
    """The gradients of learned states, sums over resets and rows, where a half has such states."""

    def total(s: str, a: Array) -> Array:
        each = recorded.get((LEARNED, s))
        return arrays.zeros(tuple(a.shape)) if each is None else arrays.sum(each, (0, 1), False)

    return {LEARNED: {s: total(s, a) for s, a in params[LEARNED].items()}} if LEARNED in params else {}


def _kept(plan: Schedule) -> set[int]:
    after = {arg for i in plan.forward.after for arg in plan.nodes[i].args}
    return set(plan.saved) | after | {plan.cell.graph.result(OUTPUT)}


def _state_cotangent(evaluator: Evaluator, plan: Schedule, state: str, env: Values, like: Array) -> Array:
    index = plan.adjoint.leaf("state", state)
    return evaluator.arrays.zeros(tuple(like.shape)) if index is None else evaluator.value(index, env)


def _marks(mask: Array | None, resets: Resets | None) -> Values:
    """What a loop reads of each step beside its values."""
    marks = dict(zip(MARKS, (mask, *(resets or (None, None))), strict=True))
    return {name: a for name, a in marks.items() if a is not None}


def _step(arrays: Arrays, now: Values, t: Any) -> Array:
    """The step index that a policy sees; with resets, each row has its own."""
    return now["steps"] if "steps" in now else arrays.as_scalar(t)
