"""Programs of a bound call: what depends on the parameters alone is computed once, and kept.

A program is traced with its parameters, and its equations are split in two. The first part packs the maps and lays them
out; the second part reads the few arrays that this gives. JAX compiles each part once for all parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree

__all__ = ["Split", "split"]


@dataclass(frozen=True)
class Split:
    """`pack(params)` gives the arrays that `rest(packed, *arguments)` reads; `said` is what is no array."""

    pack: Callable[[Tree], list[Array]]
    rest: Callable[..., Tree]
    said: Tree


def split(function: Callable[..., tuple[Tree, Any]], params: Tree, *arguments: Tree) -> Split:
    """The two parts of a function of parameters and other arguments; call it within the settings of the backend."""
    said: list[Any] = []

    def traced(*given: Tree) -> Tree:
        tree, second = function(*given)
        said.append(second)
        return tree

    closed, shapes = jax.make_jaxpr(traced, return_shape=True)(params, *arguments)
    early, late = _parts(closed, len(jax.tree.leaves(params)))
    structure = jax.tree.structure(shapes)

    def pack(params: Tree) -> list[Array]:
        return jaxpr_as_fun(early)(*jax.tree.leaves(params))  # type: ignore[no-any-return]

    def rest(packed: list[Array], *arguments: Tree) -> Tree:
        return jax.tree.unflatten(structure, jaxpr_as_fun(late)(*packed, *jax.tree.leaves(arguments)))

    return Split(jax.jit(pack), jax.jit(rest), said[0])


def _parts(closed: ClosedJaxpr, count: int) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    """The equations that read only the first `count` arguments, and the others.

    An equation whose result is larger than what it reads belongs to the others: XLA computes such a result where it is
    read, and never holds it in memory.
    """
    jaxpr = closed.jaxpr
    known: set[Any] = set(jaxpr.invars[:count])
    early, late = [], []
    for equation in jaxpr.eqns:
        reads = [v for v in equation.invars if not hasattr(v, "val")]
        grows = sum(map(_size, equation.outvars)) > sum(map(_size, reads))
        if reads and not grows and not equation.effects and known.issuperset(reads):
            early.append(equation)
            known.update(equation.outvars)
        else:
            late.append(equation)
    wanted = [v for equation in late for v in equation.invars] + list(jaxpr.outvars)
    packed = list(dict.fromkeys(v for v in wanted if not hasattr(v, "val") and v in known))
    first = _closed(closed, jaxpr.invars[:count], packed, early)
    return first, _closed(closed, [*packed, *jaxpr.invars[count:]], jaxpr.outvars, late)


def _closed(whole: ClosedJaxpr, given: list[Any], found: list[Any], equations: list[Any]) -> ClosedJaxpr:
    jaxpr = whole.jaxpr.replace(invars=given, outvars=found, eqns=equations, debug_info=None)
    return ClosedJaxpr(jaxpr, whole.consts)


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)
