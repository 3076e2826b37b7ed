"""Arrays under `jax.shard_map`, whose types say over which axes of a mesh they vary.

A loop and a pullback must return the types that they take. So all arrays in one are cast to vary over every axis that
any of them varies over; JAX then sums the gradient of an array that was cast over these axes, as it must.
"""

from __future__ import annotations

from typing import Any

import jax

from rnnspec.tree import Tree

__all__ = ["axes", "varying"]


def axes(tree: Tree) -> frozenset[str]:
    """The axes of the mesh that any array of a pytree varies over; none outside of `shard_map`."""
    return frozenset().union(*(_axes(a) for a in jax.tree.leaves(tree)))


def varying(tree: Tree, over: frozenset[str]) -> Tree:
    """The arrays cast to vary over these axes."""
    return jax.tree.map(lambda a: _cast(a, over - _axes(a)), tree) if over else tree


def _axes(array: Any) -> frozenset[str]:
    kind = jax.typeof(array)
    named: frozenset[str] = kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying  # as of JAX 0.10
    return named


def _cast(array: Any, missing: frozenset[str]) -> Any:
    return jax.lax.pcast(array, tuple(sorted(missing)), to="varying") if missing else array
