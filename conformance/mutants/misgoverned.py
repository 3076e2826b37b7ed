"""Policies and update rules that govern some maps only: those of one half, of one layer, or of one kind."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

from rnnspec.control.limits import scale_within
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByUnitNorm, ClipByValue, ScaleLoss, ZeroNonFinite
from rnnspec.primitives import sqrt, total
from rnnspec.tree import Tree, leaves, named_map
from rnnspec.updates import SGD, Adam, HoldSpectralNorm


class _Partly:
    """Gradients, or changes, of other maps are as if there were no rule."""

    def governs(self, name: str) -> bool:
        raise NotImplementedError

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        made, new = super().update(gradients, state, params)  # type: ignore[misc]
        return named_map(lambda name, g, c: c if self.governs(name) else g, gradients, made), new


class _Forward(_Partly):
    """Forward halves and the output layer."""

    def governs(self, name: str) -> bool:
        return ".reverse." not in name


class _First(_Partly):
    """The first layer and the output layer."""

    def governs(self, name: str) -> bool:
        return "layers.1." not in name


class _WithoutBiases(_Partly):
    """All but biases inside the layers."""

    def governs(self, name: str) -> bool:
        return ".b." not in name


class _WithoutVectors(_Partly):
    """All but vectors inside the equations."""

    def governs(self, name: str) -> bool:
        return ".p." not in name


class _Still(_Partly):
    """What is not governed does not change."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        made, new = super(_Partly, self).update(gradients, state, params)  # type: ignore[misc]
        return named_map(lambda name, c: c if self.governs(name) else 0.0 * c, made), new


@dataclass(frozen=True)
class ValueOfForwardHalves(_Forward, ClipByValue):
    """Of forward halves."""


@dataclass(frozen=True)
class ValueOfTheFirstLayer(_First, ClipByValue):
    """Of the first layer."""


@dataclass(frozen=True)
class ValueWithoutBiases(_WithoutBiases, ClipByValue):
    """Not of biases."""


@dataclass(frozen=True)
class ValueWithoutVectors(_WithoutVectors, ClipByValue):
    """Not of vectors inside the equations."""


@dataclass(frozen=True)
class NormOfForwardHalves(_Forward, ClipByNorm):
    """Of forward halves."""


@dataclass(frozen=True)
class NormOfTheFirstLayer(_First, ClipByNorm):
    """Of the first layer."""


@dataclass(frozen=True)
class NormWithoutVectors(_WithoutVectors, ClipByNorm):
    """Not of vectors inside the equations."""


@dataclass(frozen=True)
class UnitsOfForwardHalves(_Forward, ClipByUnitNorm):
    """Of forward halves."""


@dataclass(frozen=True)
class UnitsWithoutVectors(_WithoutVectors, ClipByUnitNorm):
    """Not of vectors inside the equations."""


@dataclass(frozen=True)
class ZeroesForwardHalves(_Forward, ZeroNonFinite):
    """Of forward halves."""


@dataclass(frozen=True)
class _GlobalOfSome(_Partly, ClipByGlobalNorm):
    """The norm is that of what is governed; all are scaled."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        squares = [total(g * g) for name, g in leaves(gradients) if self.governs(name)]
        scale: Any = scale_within(sqrt(functools.reduce(operator.add, squares)), self.limit) if squares else 1.0
        return named_map(lambda _, g: g * scale, gradients), state


@dataclass(frozen=True)
class GlobalOfForwardHalves(_Forward, _GlobalOfSome):
    """Of forward halves."""


@dataclass(frozen=True)
class GlobalOfTheFirstLayer(_First, _GlobalOfSome):
    """Of the first layer."""


@dataclass(frozen=True)
class DescentOfForwardHalves(_Still, _Forward, SGD):
    """Reverse halves stay."""


@dataclass(frozen=True)
class DescentOfTheFirstLayer(_Still, _First, SGD):
    """Further layers stay."""


@dataclass(frozen=True)
class AdamOfForwardHalves(_Still, _Forward, Adam):
    """Reverse halves stay."""


@dataclass(frozen=True)
class AdamOfTheFirstLayer(_Still, _First, Adam):
    """Further layers stay."""


@dataclass(frozen=True)
class HeldForwardHalves(HoldSpectralNorm):
    """Reverse halves are what their rule makes of them."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        held, new = super().update(gradients, state, params)
        free, _ = self.rule.update(gradients, state["rule"], params)
        return named_map(lambda name, c, f: f if ".reverse." in name else c, held, free), new


@dataclass(frozen=True)
class UnscaledForwardHalves(ScaleLoss):
    """Reverse halves see the gradients of the scaled loss."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        grown = named_map(lambda name, g: g * state["scale"] if ".reverse." in name else g, gradients)
        return super().update(grown, state, params)
