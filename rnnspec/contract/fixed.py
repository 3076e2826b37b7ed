"""Parameters that nobody changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from rnnspec.tree import Tree

__all__ = ["Fixed", "fixed"]

T = TypeVar("T")


class Fixed(dict[str, Tree]):
    """The parameters of a layer in a bound call. Nobody changes them, so a kernel may keep what it makes of them."""

    def __init__(self, params: Tree) -> None:
        super().__init__(params)
        self._kept: dict[Hashable, Any] = {}

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` made when the key was first asked for; threads that ask at once get the same."""
        found = self._kept.get(key)
        return self._kept.setdefault(key, make()) if found is None else found  # type: ignore[no-any-return]


def fixed(params: Tree) -> Tree:
    """The parameters of a network, those of each layer and direction fixed."""
    layers = [{half: Fixed(own) for half, own in halves.items()} for halves in params["layers"]]
    return {**params, "layers": layers}
