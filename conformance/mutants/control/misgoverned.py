"""Policies and update rules that govern some maps only: those of one half, of one layer, or of one kind."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnspec.control.limits import scale_within
from rnnspec.control.rule import Rule
from rnnspec.policies import ClipByGlobalNorm, ScaleLoss
from rnnspec.primitives import sqrt, total
from rnnspec.tree import Tree, leaves, named_map
from rnnspec.updates import HoldSpectralNorm

__all__ = ["HeldForwardHalves", "UnscaledForwardHalves", "first_layer", "forward_halves", "global_norm_of", "no_bias",
           "no_vector", "partly", "still"]  # fmt: skip

Governed = Callable[[str], bool]
"""Whether a rule governs the map of a name; the output layer is of every half and of every layer."""


def forward_halves(name: str) -> bool:
    """Of forward halves."""
    return ".reverse." not in name


def first_layer(name: str) -> bool:
    """Of the first layer."""
    return "layers.1." not in name


def no_bias(name: str) -> bool:
    """Not of biases inside the layers."""
    return ".b." not in name


def no_vector(name: str) -> bool:
    """Not of vectors inside the equations."""
    return ".p." not in name


def partly(rule: type[Rule], governed: Governed) -> dict[type[Rule], type[Rule]]:
    """In a rule's place, one that leaves the gradients of other maps as they are."""

    @dataclass(frozen=True)
    class Partly(rule):  # type: ignore[valid-type, misc]
        def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
            made, new = super().update(gradients, state, params)
            return named_map(lambda name, g, c: c if governed(name) else g, gradients, made), new

    return {rule: Partly}


def still(rule: type[Rule], governed: Governed) -> dict[type[Rule], type[Rule]]:
    """In an update rule's place, one that does not change other maps."""

    @dataclass(frozen=True)
    class Still(rule):  # type: ignore[valid-type, misc]
        def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
            made, new = super().update(gradients, state, params)
            return named_map(lambda name, c: c if governed(name) else 0.0 * c, made), new

    return {rule: Still}


def global_norm_of(governed: Governed) -> dict[type[Rule], type[Rule]]:
    """In the place of ClipByGlobalNorm, one that scales all maps by the norm of some."""

    @dataclass(frozen=True)
    class GlobalOfSome(ClipByGlobalNorm):
        def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
            squares = [total(g * g) for name, g in leaves(gradients) if governed(name)]
            scale: Any = scale_within(sqrt(functools.reduce(operator.add, squares)), self.limit) if squares else 1.0
            return named_map(lambda _, g: g * scale, gradients), state

    return {ClipByGlobalNorm: GlobalOfSome}


@dataclass(frozen=True)
class HeldForwardHalves(HoldSpectralNorm):
    """Reverse halves are what their rule makes of them."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        held, new = super().update(gradients, state, params)
        free, _ = self.rule.update(gradients, state["rule"], params)
        return named_map(lambda name, c, f: c if forward_halves(name) else f, held, free), new


@dataclass(frozen=True)
class UnscaledForwardHalves(ScaleLoss):
    """Reverse halves see the gradients of the scaled loss."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        grown = named_map(lambda name, g: g if forward_halves(name) else g * state["scale"], gradients)
        return super().update(grown, state, params)
