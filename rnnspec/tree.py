"""Trees: nested dicts, lists and tuples with arrays at their leaves, walked by name and never by order.

>>> tree_map(lambda a, b: a + b, {"W": {"i": 1}}, {"W": {"i": 2}})
{'W': {'i': 3}}
>>> dict(leaves({"layers": [{"b": 1}], "output": 2}))
{'layers.0.b': 1, 'output': 2}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Tree", "leaves", "named_map", "tree_map"]

Tree = Any
"""A leaf, or a dict, list or tuple of trees."""


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """The tree of `function(leaf, *leaves of the others at the same place)`."""
    return named_map(lambda _, *found: function(*found), tree, *others)


def named_map(function: Callable[..., Any], tree: Tree, *others: Tree, name: str = "") -> Tree:
    """The tree of `function(dotted name, leaf, *leaves of the others at the same place)`."""
    if isinstance(tree, dict):
        return {k: named_map(function, v, *(o[k] for o in others), name=_join(name, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        found = [named_map(function, v, *(o[i] for o in others), name=_join(name, i)) for i, v in enumerate(tree)]
        return tuple(found) if isinstance(tree, tuple) else found
    return function(name, tree, *others)


def leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their dotted names."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, _join(name, key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from leaves(value, _join(name, index))
    else:
        yield name, tree


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
