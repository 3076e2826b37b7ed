"""Where the states of a network begin: at those of a call, or at learned ones, which every row has alike."""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.fixed import Fixed
from rnnspec.network import Network
from rnnspec.tree import Tree, tree_map

__all__ = ["LEARNED", "begun", "maps", "unbegun", "with_states"]

LEARNED = "initial"
"""The name of the learned states among the parameters of a half."""


def begun(arrays: Arrays, net: Network, params: Tree, state: Tree, batch: int) -> Tree:
    """The initial state of a call, where a half that is None begins with its learned states in every row."""
    if not net.learns_states:
        return state

    def row(a: Array) -> Array:
        return arrays.functions["add"](arrays.zeros((batch, *a.shape)), a)

    return [{half: tree_map(row, own[half][LEARNED]) if given is None else given for half, given in halves.items()}
            for own, halves in zip(params["layers"], state, strict=True)]  # fmt: skip


def unbegun(arrays: Arrays, net: Network, state: Tree, own: Tree, first: Tree) -> Tree:
    """The cotangents of the parameters, with those of the learned states that a call began with: sums over rows."""
    if not net.learns_states:
        return own

    def half(given: Tree, found: Tree, cotangent: Tree) -> Tree:
        if given is not None:
            return found
        add, learned = arrays.functions["add"], found[LEARNED]
        return {**found, LEARNED: {s: add(learned[s], arrays.sum(d, (0,), False)) for s, d in cotangent.items()}}

    layers = [{name: half(given[name], found[name], ends[name]) for name in given}
              for given, found, ends in zip(state, own["layers"], first, strict=True)]  # fmt: skip
    return {**own, "layers": layers}


def maps(params: Tree) -> Tree:
    """The parameters of a half without learned states, as a kernel takes them that is given every state."""
    if LEARNED not in params:
        return params

    def without() -> Tree:
        return {kind: named for kind, named in params.items() if kind != LEARNED}

    return params.kept(maps, lambda: Fixed(without())) if isinstance(params, Fixed) else without()


def with_states(arrays: Arrays, params: Tree, found: Tree) -> Tree:
    """The cotangents of a half's parameters: zeros for learned states where its kernel knows none."""
    if LEARNED not in params or LEARNED in found:
        return found
    return {**found, LEARNED: tree_map(lambda a: arrays.zeros(tuple(a.shape)), params[LEARNED])}
