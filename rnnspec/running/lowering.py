"""The generic lowering: a scheduled cell run with the arrays of any framework, for one layer in one direction.

The file follows the data: the packed input product before the loop, the loop, the nodes after it; then the same for the
adjoint; last the gradients of the maps, each one product over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.control.recurrence import HOOKS, STEP, Recurrence, trace_hook
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.columns import columns
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import AXES, Graph, Node, iterate
from rnnspec.tree import Tree, tree_map

__all__ = ["backward", "evaluate_graph", "forward", "primitive"]

INPUTS = "inputs"
"""The key of a layer's inputs among the values."""


@dataclass(frozen=True)
class Trace:
    """The values of a forward run that the adjoint reads: by node over time, with the mask and the inputs."""

    values: Values
    inputs: Array
    mask: Array | None


def primitive(arrays: Arrays, op: str, operands: list[Any], axes: tuple[int, ...] | None = (-1,)) -> Array:
    """The value of one primitive; a total sums over `axes`, over all if None."""
    if op == "total":
        return arrays.sum(operands[0], axes, axes is not None)
    if op == "logsumexp":
        return _logsumexp(arrays, operands[0])
    if op == "number":
        return operands[0]
    if op == "spread":
        zero = arrays.functions["multiply"](operands[1], arrays.scalar(0.0))
        return arrays.functions["where"](arrays.functions["greater"](zero, arrays.scalar(1.0)), zero, operands[0])
    return arrays.functions[op](*operands)


def _logsumexp(arrays: Arrays, a: Array) -> Array:
    f, zero = arrays.functions, arrays.scalar(0.0)
    largest = arrays.largest(a)
    finite = f["greater"](arrays.scalar(float("inf")), f["maximum"](largest, f["negate"](largest)))
    shift = f["where"](finite, largest, zero)
    return f["add"](shift, f["log"](arrays.sum(f["exp"](f["subtract"](a, shift)), (-1,), True)))


def evaluate_graph(
    arrays: Arrays, graph: Graph, leaves: dict[str, Any], axes: tuple[int, ...] | None = (-1,)
) -> dict[str, Array]:
    """The results of a graph without maps: a loss, a policy, an update rule."""

    def apply(node: Node, operands: list[Any]) -> Array:
        if node.op in ("argument", "scalar", "cotangent"):
            return leaves[node.name]
        if node.op == "constant":
            return arrays.scalar(node.value)
        if node.op == "reduce":
            return node.value(operands[0])
        if node.op in AXES:
            return _along(arrays, AXES[node.op], operands[0])
        return primitive(arrays, node.op, operands, axes)

    return graph.evaluate(apply)


def _along(arrays: Arrays, axis: int, a: Array) -> Array:
    """The sum over one axis of a map, with the axis kept; a vector `(out)` has one axis only."""
    return a if axis == -1 and len(a.shape) < 2 else arrays.sum(a, (axis,), True)


class _Maps:
    """The parameters of one layer, packed for the products of the schedule."""

    def __init__(self, arrays: Arrays, plan: Schedule, params: Tree, rows: int) -> None:
        self.arrays, self.plan, self.params = arrays, plan, params
        recurrent = [pack for packs in plan.recurrent_packs.values() for pack in packs]
        self.products = {
            (kind, pack): arrays.projection(self.pack(kind, pack), rows)
            for kind, packs in (("W", plan.input_packs), ("U", recurrent)) for pack in packs
        }  # fmt: skip
        self.biases = {pack: self.pack("b", pack) for pack in plan.input_packs}
        transposed = (node.name for _, node in iterate(plan.nodes, "transposed"))
        self.transposed = {pack: self.through(pack) for name in transposed for pack in plan.transposed_packs(name)}

    def pack(self, kind: str, names: Iterable[str]) -> Array:
        """The maps stacked below each other."""
        return self.arrays.concatenate([self.params[kind][name] for name in names], 0)

    def through(self, names: Iterable[str]) -> Callable[[Array], Array]:
        """The function from the concatenated cotangents of recurrent maps to the cotangent of their argument."""
        maps = self.pack("U", names)
        return lambda a: self.arrays.matmul(a, maps)

    def split(self, packed: Array, kind: str, names: Iterable[str]) -> dict[str, Array]:
        """The parts of a packed array by map."""
        found, low = {}, 0
        for name in names:
            high = low + self.params[kind][name].shape[0]
            found[name] = packed[..., low:high]
            low = high
        return found


class _Evaluator:
    """Evaluates nodes into a dict of values; maps that share an argument are one product."""

    def __init__(self, arrays: Arrays, plan: Schedule, maps: _Maps) -> None:
        self.arrays, self.plan, self.nodes, self.maps = arrays, plan, plan.nodes, maps

    def run(self, indices: Iterable[int], values: Values) -> Values:
        """Add the values of the nodes to `values`, and return it."""
        for index in indices:
            if index not in values:
                values[index] = self.value(index, values)
        return values

    def value(self, index: int, values: Values) -> Array:
        """The value of one node, whose operands have values."""
        node = self.nodes[index]
        if index in values:
            return values[index]
        if node.op in ("constant", "vector"):
            return self.arrays.scalar(node.value) if node.op == "constant" else self.maps.params["p"][node.name]
        if node.op == "input":
            return self._input(values)[node.name]
        operands = [self.value(arg, values) for arg in node.args]
        if node.op == "map":
            return self._recurrent(node.args[0], operands[0], values)[node.name]
        if node.op == "transposed":
            return self._transposed(node.name, operands)
        return primitive(self.arrays, node.op, operands)

    def _input(self, values: Values) -> dict[str, Array]:
        key = "input maps"
        if key not in values:
            values[key] = {}
            for pack in self.plan.input_packs:
                product = self._of_rows(self.maps.products["W", pack], values[INPUTS])
                biased = self.arrays.functions["add"](product, self.maps.biases[pack])
                values[key] |= self.maps.split(biased, "W", pack)
        return values[key]  # type: ignore[no-any-return]

    def _recurrent(self, arg: int, operand: Array, values: Values) -> dict[str, Array]:
        key = ("recurrent maps", arg)
        if key not in values:
            values[key] = {}
            for pack in self.plan.recurrent_packs[arg]:
                values[key] |= self.maps.split(self._of_rows(self.maps.products["U", pack], operand), "U", pack)
        return values[key]  # type: ignore[no-any-return]

    def _transposed(self, name: str, operands: list[Array]) -> Array:
        left = iter(operands)
        packs = [(pack, [next(left) for _ in pack]) for pack in self.plan.transposed_packs(name)]
        found = [self._of_rows(self.maps.transposed[pack], self.arrays.concatenate(own, -1)) for pack, own in packs]
        return reduce(self.arrays.functions["add"], found)

    def _of_rows(self, product: Callable[[Array], Array], a: Array) -> Array:
        found = product(self.arrays.reshape(a, (-1, a.shape[-1])))
        return self.arrays.reshape(found, (*a.shape[:-1], found.shape[-1]))


def forward(
    arrays: Arrays, plan: Schedule, params: Tree, inputs: Array, state: Values, mask: Array | None
) -> tuple[Array, Values, Trace]:
    """Outputs (time, batch, feature), the final state, and the trace that `backward` needs.

    `mask` (time, batch, 1) is true at the real steps, which come first; after them outputs are 0 and states stay.
    There is at least one step.
    """
    cell = plan.cell
    arrays = columns(arrays) if plan.columns else arrays
    maps = _Maps(arrays, plan, params, inputs.shape[1])
    evaluator = _Evaluator(arrays, plan, maps)
    values = evaluator.run(plan.forward.before, _given(plan, inputs))
    results = {name: cell.graph.result(name) for name in cell.states}
    leaf = {node.name: index for index, node in iterate(cell.graph.nodes, "state")}
    step_nodes = set(plan.forward.step)
    read: set[Any] = {arg for i in step_nodes for arg in plan.nodes[i].args} | set(results.values())
    read |= {INPUTS} if any(plan.nodes[i].op == "input" for i in step_nodes) else set()
    kept = [i for i in (*leaf.values(), *plan.forward.step) if i in _kept(plan)]

    def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
        env = still | {i: a for i, a in now.items() if i != "mask"}
        env |= {leaf[s]: a for s, a in carried.items() if s in leaf}
        evaluator.run(plan.forward.step, env)
        new = {s: _like(arrays, evaluator.value(i, env), carried[s]) for s, i in results.items()}
        new = {s: _select(arrays, now.get("mask"), a, carried[s]) for s, a in new.items()}
        return new, {i: env[i] for i in kept}

    over_time, still = _moving({i: values[i] for i in read if i in values})
    over_time |= {} if mask is None else {"mask": mask}
    final, recorded = arrays.scan(body, state, over_time, inputs.shape[0], False)
    values |= recorded
    evaluator.run(plan.forward.after, values)
    outputs = evaluator.value(cell.graph.result(OUTPUT), values)
    kept_values = {i: values[i] for i in plan.saved if i in values and plan.nodes[i].op != "x"}
    return _real(arrays, mask, _wide(arrays, outputs, inputs)), final, Trace(kept_values, inputs, mask)


def backward(
    arrays: Arrays, plan: Schedule, params: Tree, trace: Trace, output_cotangent: Array, state_cotangent: Values,
    policy: Recurrence | None,
) -> tuple[Tree, Array, Values]:
    """The cotangents of the parameters, the inputs and the initial state; `output_cotangent` is 0 after a row's end."""
    cell, mask = plan.cell, trace.mask
    maps = _Maps(arrays, plan, params, trace.inputs.shape[1])
    evaluator = _Evaluator(arrays, plan, maps)
    values = trace.values | _given(plan, trace.inputs)
    leaf = {node.name: index for index, node in iterate(plan.nodes, "cotangent")}
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
        reached = _hooked(arrays, hooks["total"], reached, t)
        env = still | {i: a for i, a in now.items() if not isinstance(i, str)}
        env |= {leaf[s]: a for s, a in reached.items() if s in leaf}
        evaluator.run(plan.backward.step, env)
        passed = {s: _state_cotangent(evaluator, plan, s, env, carried[s]) for s in carried}
        if hooks["carry"] is not None:
            inner = arrays.functions["greater"](arrays.as_scalar(t), arrays.scalar(0.5))
            cut = _hooked(arrays, hooks["carry"], passed, t)
            passed = {s: arrays.functions["where"](inner, cut[s], passed[s]) for s in passed}
        new = {s: _select(arrays, now.get("mask"), passed[s], carried[s]) for s in carried}
        return new, {i: env[i] for i in wanted & in_loop}

    over_time, still = _moving({i: values[i] for i in read if i in values})
    over_time |= {} if mask is None else {"mask": mask}
    over_time |= {"output": output_cotangent} if cell.output_state is not None else {}
    initial, recorded = arrays.scan(body, state_cotangent, over_time, trace.inputs.shape[0], True)
    evaluator.run(plan.backward.after, values := values | recorded)
    found = {i: _wide(arrays, evaluator.value(i, values), trace.inputs) for i in gradients}
    real = {i: _real(arrays, mask, a) for i, a in found.items()}
    own, inputs = _map_gradients(arrays, plan, maps, trace, real)
    return own, inputs, initial


def _given(plan: Schedule, inputs: Array) -> Values:
    """The inputs, as what the input maps read and as the node of `x` itself."""
    return {INPUTS: inputs} | {i: inputs for i, _ in iterate(plan.nodes, "x")}


def _map_gradients(arrays: Arrays, plan: Schedule, maps: _Maps, trace: Trace, real: Values) -> tuple[Tree, Array]:
    found = {kind: tree_map(lambda a: arrays.zeros(tuple(a.shape)), maps.params[kind]) for kind in ("W", "b", "U", "p")}

    def flat(a: Array) -> Array:
        return arrays.reshape(a, (-1, a.shape[-1]))

    x, into = flat(trace.inputs), []
    for (op, name), i in plan.adjoint.leaves:
        if op == "input":
            delta = flat(real[i])
            found["W"][name] = arrays.matmul(arrays.transpose(delta), x)
            found["b"][name] = arrays.sum(delta, (0,), False)
            into.append(arrays.matmul(delta, maps.params["W"][name]))
        elif op == "x":
            into.append(flat(real[i]))
        elif op == "vector":
            found["p"][name] = arrays.sum(real[i], (0, 1), False)
    inputs = reduce(arrays.functions["add"], into) if into else arrays.zeros(tuple(x.shape))
    for use in plan.adjoint.maps:
        gradient = arrays.matmul(arrays.transpose(flat(real[use.cotangent])), flat(real[use.operand]))
        found["U"][use.name] = arrays.functions["add"](found["U"][use.name], gradient)
    return found, arrays.reshape(inputs, tuple(trace.inputs.shape))


def _kept(plan: Schedule) -> set[int]:
    after = {arg for i in plan.forward.after for arg in plan.nodes[i].args}
    return set(plan.saved) | after | {plan.cell.graph.result(OUTPUT)}


def _moving(values: Values) -> tuple[Values, Values]:
    """The values with a time axis, and those equal in every step, which are made of the cell's vectors and numbers."""
    moving = {i: a for i, a in values.items() if len(a.shape) == 3}
    return moving, {i: a for i, a in values.items() if i not in moving}


def _state_cotangent(evaluator: _Evaluator, plan: Schedule, state: str, env: Values, like: Array) -> Array:
    index = plan.adjoint.leaf("state", state)
    return evaluator.arrays.zeros(tuple(like.shape)) if index is None else evaluator.value(index, env)


def _hooked(arrays: Arrays, graph: Graph | None, cotangents: Values, t: Any) -> Values:
    if graph is None:
        return cotangents
    return evaluate_graph(arrays, graph, {**cotangents, STEP: arrays.as_scalar(t)})


def _like(arrays: Arrays, a: Array, state: Array) -> Array:
    """A new state with the shape of the state, also where it is a vector of the cell, the same for all rows."""
    return a if len(a.shape) == len(state.shape) else arrays.functions["add"](arrays.zeros(tuple(state.shape)), a)


def _select(arrays: Arrays, mask: Array | None, new: Array, old: Array) -> Array:
    return new if mask is None else arrays.functions["where"](mask, new, old)


def _real(arrays: Arrays, mask: Array | None, a: Array) -> Array:
    return a if mask is None else arrays.functions["where"](mask, a, arrays.scalar(0.0))


def _wide(arrays: Arrays, a: Array, inputs: Array) -> Array:
    """A value with axes for time and batch, also where it is a vector or a number of the cell."""
    if len(a.shape) == 3:
        return a
    shape = (inputs.shape[0], inputs.shape[1], a.shape[-1] if len(a.shape) else 1)
    return arrays.functions["add"](arrays.zeros(shape), a)
