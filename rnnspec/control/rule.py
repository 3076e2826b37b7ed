"""Rules on finished gradients: policies and update rules with one interface, chained in the declared order.

>>> from rnnspec import policies, updates
>>> chain(policies.ClipByGlobalNorm(1.0), updates.Adam(1e-3))
Chain(rules=(ClipByGlobalNorm(limit=1.0, reduce=None), Adam(rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08)))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from rnnspec.errors import EquationError, NetworkError
from rnnspec.primitives import reading
from rnnspec.tracing.graph import Graph, GraphBuilder, Vector
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["Chain", "Rule", "ToNumpy", "UpdateRule", "chain", "trace", "traced"]

ToNumpy = Callable[[Tree], Tree]
"""The type of `Backend.to_numpy`, from a tree of a backend's arrays to NumPy arrays."""

Traced = tuple[Graph, Tree, Tree]
"""The graph of an update, and the trees of names of its results: the changes and the new state."""

MOST_KEPT = 64
"""The most traced updates that are kept; the least recently used is dropped first."""

Outline = Any
"""A tree's containers and names as nested tuples; a leaf is True where it has axes."""


class Rule(ABC):
    """A rule on finished gradients, written in the primitives; each map or bias is one vector.

    Training calls `update` once for a frozen dataclass of numbers, names and such rules, and at every step for any
    other rule. `outermost` says that no other rule may wrap it.
    """

    outermost: ClassVar[bool] = False

    @abstractmethod
    def init(self, params: Tree) -> Tree:
        """The state before the first step: a tree of float64 NumPy arrays, or `()` where the rule has no state."""

    @abstractmethod
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        """The changed gradients and the new state; an update rule returns the change to add to the parameters."""

    def loss_scale(self, state: Tree) -> Any:
        """The factor of the loss before its gradient is taken: a scalar of the state, or None."""
        return None

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        """Raise the error that the state after a step shows; by default, raise nothing."""
        return


class UpdateRule(Rule):
    """A rule whose result is the change to add to the parameters."""


@dataclass(frozen=True)
class Chain(UpdateRule):
    """Rules applied in order, the last of them an update rule."""

    rules: tuple[Rule, ...]

    def init(self, params: Tree) -> Tree:
        """The states of the rules, in their order."""
        return tuple(rule.init(params) for rule in self.rules)

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        """Each rule applied to the result of the rule before it."""
        states = []
        for rule, own in zip(self.rules, state, strict=True):
            gradients, new = rule.update(gradients, own, params)
            states.append(new)
        return gradients, tuple(states)

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        for rule, own in zip(self.rules, state, strict=True):
            rule.verify(own, to_numpy)


def chain(*rules: Rule) -> Chain:
    """The chain of gradient policies and one update rule, which act in this order.

    Raises NetworkError where the last rule is no update rule, where another one is, or where a rule must be outermost.
    """
    wrong = [r for r in rules if not isinstance(r, Rule)]
    if wrong or not rules or [r for r in rules if isinstance(r, UpdateRule)] != [rules[-1]]:
        raise NetworkError("chain(...)", "the last rule, and no other, must be an update rule",
                           ", ".join(type(rule).__name__ for rule in rules) or "nothing",
                           "write policies first, then one of rnnspec.updates")  # fmt: skip
    if rules[-1].outermost:
        raise NetworkError("chain(...)", "the chain must be inside a rule that is outermost", type(rules[-1]).__name__,
                           f"write {type(rules[-1]).__name__}(chain(...))")  # fmt: skip
    return Chain(rules)


def traced(rule: Rule, params: Tree, state: Tree) -> Traced:
    """`trace`, cached for a rule that cannot change, by the names and ranks of the trees; safe from several threads."""
    try:
        value = _Value(_key(rule), rule)
    except _Changeable:
        return trace(rule, params, state)
    return _kept(value, _outline(params), _outline(state))


@dataclass(frozen=True)
class _Value:
    key: Hashable
    rule: Rule = field(compare=False)


@lru_cache(maxsize=MOST_KEPT)
def _kept(value: _Value, params: Outline, state: Outline) -> Traced:
    return trace(value.rule, _filled(params), _filled(state))


class _Changeable(Exception):
    """A value can change without becoming unequal, so that nothing may be cached for it."""


def _key(value: Any) -> Hashable:
    """A key that is equal where the traces are: numbers by type and bits, since 0.0 == -0.0 and NaN != NaN."""
    if isinstance(value, float):
        return (float, value.hex())
    if value is None or isinstance(value, int | str):
        return (type(value), value)
    if isinstance(value, tuple):
        return (tuple, *map(_key, value))
    made = vars(type(value)).get("__dataclass_params__")
    if made is None or not made.frozen:
        raise _Changeable
    return (type(value), *(_key(getattr(value, own.name)) for own in fields(value)))


def _outline(tree: Tree) -> Outline:
    if isinstance(tree, dict):
        return (dict, *((name, _outline(branch)) for name, branch in tree.items()))
    if isinstance(tree, list | tuple):
        return (tuple if isinstance(tree, tuple) else list, *map(_outline, tree))
    return np.ndim(tree) > 0


def _filled(outline: Outline) -> Tree:
    """A tree with that outline, of new arrays."""
    if isinstance(outline, bool):
        return np.zeros((1,) * outline)
    kind, *branches = outline
    return {name: _filled(branch) for name, branch in branches} if kind is dict else kind(map(_filled, branches))


def trace(rule: Rule, params: Tree, state: Tree) -> Traced:
    """The graph of one update, and the trees of names of its results: the changes and the new state.

    Arguments are `gradients.NAME`, `state.NAME` and `params.NAME`. Only the names and ranks of `params`
    and `state` are used. Raises EquationError where the rule returns a tree with other names.
    """
    call, builder = f"{type(rule).__name__}.update", GraphBuilder(has_axes=True)

    def arguments(kind: str, tree: Tree) -> Tree:
        def one(name: str, leaf: Any) -> Vector:
            return builder.vector("argument" if np.ndim(leaf) else "scalar", f"{kind}.{name}")

        return named_map(one, tree)

    with reading(call):
        given = [arguments(kind, tree) for kind, tree in (("gradients", params), ("state", state), ("params", params))]
        changes, new = rule.update(*given)
        results = {f"changes.{name}": builder.index(vector) for name, vector in leaves(changes)}
        results |= {f"state.{name}": builder.index(vector) for name, vector in leaves(new)}
    for what, found, expected in (("gradients", changes, params), ("state", new, state)):
        odd = sorted(dict(leaves(found)).keys() ^ dict(leaves(expected)).keys())
        if odd:
            raise EquationError(call, f"it must return a {what} tree with the names that it was given", odd[0],
                                "map the tree with rnnspec.tree.tree_map")  # fmt: skip
    return builder.graph(results), _names("changes", changes), _names("state", new)


def _names(kind: str, tree: Tree) -> Tree:
    return named_map(lambda name, _: f"{kind}.{name}", tree)
