"""Compiled programs, kept by what they were compiled for: a function, its constants, and its arguments' shapes.

A backend that compiles gives `Programs` a compiler, and hands out the programs by `Programs.of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.showing import shown
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree, flat

__all__ = ["Function", "Program", "Programs", "is_empty"]

Program = Callable[..., tuple[Tree, Tree]]
"""Called with trees of arrays; gives a tree of arrays, and one of anything else."""

Function = Callable[..., tuple[Tree, Tree]]
"""A pure function `(backend, *constants, *arrays)`, as those of `rnnspec.execution`."""

MOST_KEPT = 512
"""Programs kept; those longest unused are dropped beyond, so that ever new shapes do not fill the memory."""


def kind(array: Any) -> Hashable:
    """What a program is compiled for: an array's shape and dtype."""
    return tuple(array.shape), str(array.dtype)


class Programs:
    """Programs by function, constants and the arguments' names, shapes and dtypes; safe to use from several threads.

    `compiled` counts the compilations. Constants are hashable values, or trees of them. `kind` tells an array's shape
    and dtype, where a framework has a faster way: every call asks it of every array.
    """

    def __init__(
        self, compile: Callable[[Function, tuple[Any, ...], tuple[Tree, ...]], Program],
        kind: Callable[[Any], Hashable] = kind,
    ) -> None:  # fmt: skip
        self.compile, self.kind, self.compiled = compile, kind, 0
        self.kept: dict[Hashable, Program] = {}
        self.lock = threading.RLock()

    def of(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Program:
        """The program for these arguments, compiled unless it is kept."""
        key = (function, _frozen(constants), _signature(self.kind, arguments))
        with self.lock:
            program = self.kept.pop(key, None)
            if program is None:
                program = self.compile(function, constants, arguments)
                self.compiled += 1
            self.kept[key] = program  # the last to be dropped
            if len(self.kept) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
            return program


def is_empty(arguments: tuple[Tree, ...]) -> bool:
    """Whether an argument holds no number at all: no time or no row, so that there is nothing worth compiling."""
    return any(0 in a.shape for a in flat(arguments) if a is not None)


def _signature(kind: Callable[[Any], Hashable], tree: Tree) -> Hashable:
    """What arrays a tree has, by name, in the tree's own order: that is the order in which a program takes them."""
    if tree is None:
        return ()
    if isinstance(tree, dict):
        return (*tree, *[_signature(kind, part) for part in tree.values()])
    return tuple([_signature(kind, part) for part in tree]) if isinstance(tree, list | tuple) else kind(tree)


def _frozen(constant: Any) -> Hashable:
    """A constant as a key. A graph's numbers are told apart by their bits, since NaN equals nothing."""
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
