"""A cache of compiled programs, by function, constants and the arguments' shapes.

A backend that compiles creates `Programs` with its compiler, and gets each program from `Programs.of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from rnnspec.errors import NetworkError
from rnnspec.showing import shown
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree, flat

__all__ = ["Function", "Program", "Programs", "is_empty"]

Program = Callable[..., tuple[Tree, Tree]]
"""A function of trees of arrays; it returns a tree of arrays and a tree of other values."""

Function = Callable[..., tuple[Tree, Tree]]
"""A pure function `(backend, *constants, *arrays)`, such as those of `rnnspec.running.execution`."""

MOST_KEPT = 512
"""The most programs that are kept; the least recently used is dropped first, so that new shapes do not fill memory."""


def kind(array: Any) -> Hashable:
    """The shape and dtype of an array, which a program is compiled for."""
    return tuple(array.shape), str(array.dtype)


P = TypeVar("P")


class Programs(Generic[P]):
    """Programs by function, constants and the arguments' names, shapes and dtypes; safe to use from several threads.

    `compiled` counts compilations. Constants are hashable values, or trees of them. `kind` returns an array's shape and
    dtype; every call uses it for every array, so a framework may give a faster one.
    """

    def __init__(
        self, compile: Callable[[Function, tuple[Any, ...], tuple[Tree, ...]], P],
        kind: Callable[[Any], Hashable] = kind,
    ) -> None:  # fmt: skip
        self.compile, self.kind, self.compiled = compile, kind, 0
        self.kept: dict[Hashable, P] = {}
        self.lock = threading.RLock()

    def of(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> P:
        """The program for these arguments, compiled unless it is kept."""
        key = (function, _frozen(constants), _signature(self.kind, arguments))
        with self.lock:
            program = self.kept.pop(key, None)
            if program is None:
                program = self.compile(function, constants, arguments)
                self.compiled += 1
            self.kept[key] = program  # most recently used
            if len(self.kept) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
            return program


def is_empty(arguments: tuple[Tree, ...]) -> bool:
    """Whether an argument is empty, without steps or rows, so that compiling is not worth it."""
    return any(0 in a.shape for a in flat(arguments) if a is not None)


def _signature(kind: Callable[[Any], Hashable], tree: Tree) -> Hashable:
    """The names and kinds of a tree's arrays in the tree's order, in which a program takes them."""
    if tree is None:
        return ()
    if isinstance(tree, dict):
        return (*tree, *[_signature(kind, part) for part in tree.values()])
    return tuple([_signature(kind, part) for part in tree]) if isinstance(tree, list | tuple) else kind(tree)


def _frozen(constant: Any) -> Hashable:
    """A constant as a key. Numbers of a graph are compared by their bits, since NaN != NaN."""
    if isinstance(constant, dict):
        return (dict, *((key, _frozen(value)) for key, value in constant.items()))
    if isinstance(constant, list | tuple):
        return (type(constant), *map(_frozen, constant))
    if isinstance(constant, Graph):
        return (Graph, constant.results, *((n.op, n.args, n.name, _bits(n.value)) for n in constant.nodes))
    return _hashable(constant)


def _hashable(constant: Any) -> Hashable:
    try:
        hash(constant)
    except TypeError as error:
        raise NetworkError("program", "a policy, loss or rule must be hashable where programs are kept",
                           shown(constant), "declare it with @dataclass(frozen=True)") from error  # fmt: skip
    return constant  # type: ignore[no-any-return]


def _bits(value: Any) -> Hashable:
    return value.hex() if isinstance(value, float) else value
