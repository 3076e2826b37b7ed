"""The update rule that the suite trains with where it can: a rule of its own for each part of the parameters.

One program then serves several policies and update rules on a backend that compiles.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.control.rule import UpdateRule
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["Part", "Parted"]


@dataclass(frozen=True)
class Part:
    """The maps whose names hold one of the given words, and what they are trained by."""

    words: tuple[str, ...]
    rule: UpdateRule

    def of(self, tree: Tree) -> dict[str, Tree]:
        """The part's leaves of a tree as the parameters', by their dotted names."""
        return {name: leaf for name, leaf in leaves(tree) if any(word in name for word in self.words)}


@dataclass(frozen=True)
class Parted(UpdateRule):
    """Another update rule for each part; every map is in one of them."""

    parts: tuple[Part, ...]

    def init(self, params: Tree) -> Tree:
        return tuple(part.rule.init(part.of(params)) for part in self.parts)

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes: dict[str, Tree] = {}
        states = []
        for part, own in zip(self.parts, state, strict=True):
            change, new = part.rule.update(part.of(gradients), own, part.of(params))
            changes |= change
            states.append(new)
        return named_map(lambda name, _: changes[name], gradients), tuple(states)
