"""The cotangents of a layer's parameters and inputs, each one product or sum over all steps."""

from __future__ import annotations

from functools import reduce

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.heads import Heads
from rnnspec.running.maps import Maps
from rnnspec.tracing.widths import INPUT
from rnnspec.tree import Tree, tree_map

__all__ = ["map_gradients"]


def map_gradients(arrays: Arrays, plan: Schedule, maps: Maps, inputs: Array, real: Values) -> tuple[Tree, Array]:
    """The cotangents of the parameters, and of the inputs (time, batch, feature).

    `real` are the cotangents and operands of leaves and maps (time, batch, ...) by node, 0 after a row's end.
    """
    found = {kind: tree_map(lambda a: arrays.zeros(tuple(a.shape)), maps.params[kind]) for kind in ("W", "b", "U", "p")}
    heads = maps.heads

    def flat(a: Array) -> Array:
        return arrays.reshape(a, (-1, a.shape[-1]))

    x, into, given = flat(inputs), [], plan.cell.given is not None
    for (op, name), i in plan.adjoint.leaves:
        if op == "input" and not given:
            delta = flat(heads.beside(real[i], f"x.{name}"))
            found["W"][name] = arrays.matmul(arrays.transpose(delta), x)
            found["b"][name] = arrays.sum(delta, (0,), False)
            into.append(arrays.matmul(delta, maps.params["W"][name]))
        elif op == "x" and not given:
            into.append(flat(heads.beside(real[i], INPUT)))
        elif op == "vector":
            found["p"][name] = heads.gradient(real[i], f"p.{name}")
    total = reduce(arrays.functions["add"], into) if into else arrays.zeros(tuple(x.shape))
    for use in plan.adjoint.maps:
        delta, operand = (heads.rows(real[i], f"R.{use.name}") for i in (use.cotangent, use.operand))
        turned = arrays.transpose(delta) if len(delta.shape) == 2 else arrays.permute(delta, (0, 2, 1))
        found["U"][use.name] = arrays.functions["add"](found["U"][use.name], arrays.matmul(turned, operand))
    return found, _beside(arrays, plan, heads, inputs, real) if given else arrays.reshape(total, tuple(inputs.shape))


def _beside(arrays: Arrays, plan: Schedule, heads: Heads, inputs: Array, real: Values) -> Array:
    """The cotangents of what is given, side by side as the inputs have it; no product, so that none reaches another."""
    places = {INPUT if op == "x" else name: i for (op, name), i in plan.adjoint.leaves if op in ("input", "x")}
    parts = []
    for name, features in plan.cell.given or ():
        label = name if name == INPUT and plan.cell.reads_input else f"x.{name}"
        zeros = (*inputs.shape[:2], features)
        parts.append(heads.beside(real[places[name]], label) if name in places else arrays.zeros(zeros))
    return arrays.concatenate(parts, -1) if len(parts) > 1 else parts[0]
