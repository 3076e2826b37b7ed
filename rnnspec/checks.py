"""Checks of what a layer or a network is declared with: each raises the NetworkError of the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.initialisers import Initialiser
from rnnspec.showing import shown

__all__ = ["check_hashable", "check_initial", "is_pairs", "is_size", "require"]


def is_size(value: object) -> bool:
    """Whether a value can be a number of features: a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_pairs(value: tuple[Any, ...]) -> bool:
    """Whether a tuple holds pairs alone."""
    return all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)


def require(call: str, holds: bool, must: str, got: object, do: str) -> None:
    """Raise the NetworkError of a call unless something holds."""
    if not holds:
        raise NetworkError(call, must, shown(got), do)


def check_hashable(call: str, what: str, value: object) -> None:
    """Raise NetworkError where a value has no hash."""
    try:
        hash(value)
    except TypeError:
        require(call, False, f"{what} must be a hashable value", value,
                "declare its class with @dataclass(frozen=True)")  # fmt: skip


def check_initial(call: str, initial: Mapping[str, Initialiser], names: Mapping[str, set[str]]) -> None:
    """Raise NetworkError where `initial` names what is no parameter, or holds what is no initialiser."""
    require(call, isinstance(initial, Mapping), "initial must map names to initialisers", initial, "write {'b.f': ...}")
    known = set(names) | {f"{kind}.{name}" for kind, named in names.items() for name in named}
    for name, initialiser in initial.items():
        require(call, name in known and isinstance(initialiser, Initialiser),
               f"initial must map one of {', '.join(sorted(known))} to an initialiser", {name: initialiser},
               "give a kind of parameter or the name of a map")  # fmt: skip
