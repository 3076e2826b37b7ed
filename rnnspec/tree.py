"""Trees: nested dicts, lists and tuples with arrays as leaves, which are matched by name, not by order.

>>> tree_map(lambda a, b: a + b, {"W": {"i": 1}}, {"W": {"i": 2}})
{'W': {'i': 3}}
>>> dict(leaves({"layers": [{"b": 1}], "output": 2}))
{'layers.0.b': 1, 'output': 2}

A shape is a leaf, though it is a tuple:

>>> tree_map(len, {"W": Shape((3, 2)), "b": Shape((3,))})
{'W': 2, 'b': 1}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rnnspec.errors import TreeError

__all__ = ["Shape", "Tree", "bounded", "filled", "flat", "flat_as", "leaves", "named_map", "tree_map"]

Tree = Any
"""A leaf, or a dict, list or tuple of trees."""


class Shape(tuple[int, ...]):
    """The shape of an array; it is a leaf of a tree of shapes."""

    __slots__ = ()


SEQUENCES = (list, tuple)

MOST_LEVELS = 64
"""The most levels of a tree; a deeper one most likely contains itself."""

SHOWN = 40
"""The characters of a long name that are shown."""


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """The tree of `function(leaf, *leaves of the others at the same place)`."""
    try:
        return _plain_map(function, tree, others, 0) if others else _single_map(function, tree, 0)
    except _Deep:
        return named_map(lambda _, *found: function(*found), tree, *others)


def named_map(function: Callable[..., Any], tree: Tree, *others: Tree, name: str = "") -> Tree:
    """The tree of `function(dotted name, leaf, *leaves of the others at the same place)`."""
    return _map(function, tree, others, name, 0)


def leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their dotted names."""
    return _leaves("leaves(tree)", tree, name, 0)


def bounded(call: str, tree: Tree) -> Tree:
    """The tree itself; raises TreeError for the call where it has too many levels, or contains itself."""
    for _ in _leaves(call, tree, "", 0):
        pass
    return tree


def flat(tree: Tree) -> list[Any]:
    """The leaves without their names, in the tree's own order."""
    return flat_as(tree, tree)


def flat_as(model: Tree, tree: Tree) -> list[Any]:
    """The leaves of a tree in the order of the model's: a tree's own order means nothing."""
    found: list[Any] = []
    _gather(model, tree, found)
    return found


def filled(model: Tree, found: Iterable[Any]) -> Tree:
    """A tree of the model's structure with other leaves, given in the order of `flat`."""
    leaf = iter(found)
    return tree_map(lambda _: next(leaf), model)


def _gather(model: Tree, tree: Tree, found: list[Any]) -> None:
    """Into one list, and not a list for every branch: each training step of a layer asks three times."""
    if isinstance(model, dict):
        for name, part in model.items():
            _gather(part, tree[name], found)
    elif isinstance(model, SEQUENCES) and not isinstance(model, Shape):
        for part, other in zip(model, tree, strict=True):
            _gather(part, other, found)
    else:
        found.append(tree)


class _Deep(Exception):
    """A tree is too deep; the caller walks it again with names to say where."""


def _single_map(function: Callable[[Any], Any], tree: Tree, level: int) -> Tree:
    """`_plain_map` of one tree, which is faster without other trees."""
    if level > MOST_LEVELS:
        raise _Deep
    if isinstance(tree, dict):
        return {k: _single_map(function, v, level + 1) for k, v in tree.items()}
    if isinstance(tree, SEQUENCES) and not isinstance(tree, Shape):
        found = [_single_map(function, v, level + 1) for v in tree]
        return tuple(found) if isinstance(tree, tuple) else found
    return function(tree)


def _plain_map(function: Callable[..., Any], tree: Tree, others: tuple[Tree, ...], level: int) -> Tree:
    """`tree_map` without names: spelling them takes longer than adding small arrays."""
    if level > MOST_LEVELS:
        raise _Deep
    if isinstance(tree, dict):
        return {k: _plain_map(function, v, tuple([o[k] for o in others]), level + 1) for k, v in tree.items()}
    if isinstance(tree, SEQUENCES) and not isinstance(tree, Shape):
        found = [_plain_map(function, v, tuple([o[i] for o in others]), level + 1) for i, v in enumerate(tree)]
        return tuple(found) if isinstance(tree, tuple) else found
    return function(tree, *others)


def _map(function: Callable[..., Any], tree: Tree, others: tuple[Tree, ...], name: str, level: int) -> Tree:
    if level > MOST_LEVELS:
        raise _too_deep("tree_map(function, tree)", name)
    if isinstance(tree, dict):
        return {
            k: _map(function, v, tuple(o[k] for o in others), _join(name, k), level + 1) for k, v in tree.items()
        }
    if isinstance(tree, SEQUENCES) and not isinstance(tree, Shape):
        found = [
            _map(function, v, tuple(o[i] for o in others), _join(name, i), level + 1) for i, v in enumerate(tree)
        ]
        return tuple(found) if isinstance(tree, tuple) else found
    return function(name, tree, *others)


def _leaves(call: str, tree: Tree, name: str, level: int) -> Iterator[tuple[str, Any]]:
    if level > MOST_LEVELS:
        raise _too_deep(call, name)
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(call, value, _join(name, key), level + 1)
    elif isinstance(tree, SEQUENCES) and not isinstance(tree, Shape):
        for index, value in enumerate(tree):
            yield from _leaves(call, value, _join(name, index), level + 1)
    else:
        yield name, tree


def _too_deep(call: str, name: str) -> TreeError:
    return TreeError(call, f"a tree must have at most {MOST_LEVELS} levels", f"more at {name[:SHOWN]}...",
                     "look for a branch that contains itself")  # fmt: skip


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
