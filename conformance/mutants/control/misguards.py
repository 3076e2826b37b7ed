"""Policies of units, of gradients that are not finite and of scaled losses that are wrong, each in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.control.limits import scale_within
from rnnspec.policies import ClipByNorm, ClipByUnitNorm, ScaleLoss, SkipNonFinite, ZeroNonFinite
from rnnspec.primitives import maximum, sqrt, total, total_in, total_out, where
from rnnspec.tree import Tree, named_map, tree_map
from rnnspec.updates import HoldSpectralNorm


@dataclass(frozen=True)
class UnitsAreColumns(ClipByUnitNorm):
    """A unit is a column."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        def clipped(g: Any, w: Any) -> Any:
            limit = self.ratio * maximum(sqrt(total_out(w * w)), self.epsilon)
            return g * scale_within(sqrt(total_out(g * g)), limit)

        return tree_map(clipped, gradients, params), state


@dataclass(frozen=True)
class UnitsAreMaps(ClipByUnitNorm):
    """A unit is a complete map."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        def clipped(g: Any, w: Any) -> Any:
            return g * scale_within(sqrt(total(g * g)), self.ratio * maximum(sqrt(total(w * w)), self.epsilon))

        return tree_map(clipped, gradients, params), state


@dataclass(frozen=True)
class UnitsWithoutEpsilon(ClipByUnitNorm):
    """Weights of 0 have a limit of 0."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByUnitNorm(self.ratio, 0.0).update(gradients, state, params)


@dataclass(frozen=True)
class UnitsOfEpsilonAlone(ClipByUnitNorm):
    """Weights do not matter."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        limit = self.ratio * self.epsilon
        return tree_map(lambda g: g * scale_within(sqrt(total_in(g * g)), limit), gradients), state


@dataclass(frozen=True)
class UnitsAddEpsilon(ClipByUnitNorm):
    """Epsilon is added to the norm of the weights."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        def clipped(g: Any, w: Any) -> Any:
            return g * scale_within(sqrt(total_in(g * g)), self.ratio * (sqrt(total_in(w * w)) + self.epsilon))

        return tree_map(clipped, gradients, params), state


@dataclass(frozen=True)
class SkipsNothing(SkipNonFinite):
    """Never skips."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, kept = self.rule.update(gradients, state["rule"], params)
        return changes, {"rule": kept, "skipped": state["skipped"] + 0.0}


@dataclass(frozen=True)
class SkipsWithZeros(SkipNonFinite):
    """A step that is skipped is one of a gradient of zeros: the state of what follows moves."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, right = super().update(gradients, state, params)
        spoilt = right["skipped"] > state["skipped"]
        zeros = tree_map(lambda g: where(spoilt, 0.0, g), gradients)
        changes, kept = self.rule.update(zeros, state["rule"], params)
        return changes, {**right, "rule": kept}


@dataclass(frozen=True)
class SkipsUncounted(SkipNonFinite):
    """Steps that are skipped are not counted."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, new = super().update(gradients, state, params)
        return changes, {**new, "skipped": state["skipped"]}


@dataclass(frozen=True)
class ZeroesOnlyNan(ZeroNonFinite):
    """Infinities stay."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(g >= 0.0, g, where(g < 0.0, g, 0.0)), gradients), state


@dataclass(frozen=True)
class ZeroesWholeMaps(ZeroNonFinite):
    """A map with one such entry becomes 0."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(float("inf") > total(g * g), g, 0.0), gradients), state


@dataclass(frozen=True)
class Clamps(ZeroNonFinite):
    """Infinities become large numbers."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(g > 1e30, 1e30, where(g < -1e30, -1e30, where(g >= -1e30, g, 0.0))),
                        gradients), state  # fmt: skip


@dataclass(frozen=True)
class NeverUnscales(ScaleLoss):
    """The gradient stays scaled."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g: g * state["scale"], gradients), state, params)


@dataclass(frozen=True)
class UnscalesLast(ScaleLoss):
    """The gradient is clipped first, and unscaled then."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        clipped, _ = ClipByNorm(0.5).update(gradients, (), params)
        return super().update(clipped, state, params)


@dataclass(frozen=True)
class ScaleStays(ScaleLoss):
    """The scale does not follow the gradient."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, new = super().update(gradients, state, params)
        return changes, {**new, "scale": state["scale"]}


@dataclass(frozen=True)
class HoldsFrobenius(HoldSpectralNorm):
    """The root of all squares."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, new = super().update(gradients, state, params)

        def projected(name: str, change: Any, w: Any) -> Any:
            scale = scale_within(sqrt(total(w * w)), self.limit)
            return w * scale - w if name in state["right"] else change

        return named_map(projected, changes, params), new


@dataclass(frozen=True)
class HoldsUnheld(HoldSpectralNorm):
    """Nothing."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, kept = self.rule.update(gradients, state["rule"], params)
        return changes, {"rule": kept, "right": state["right"]}


@dataclass(frozen=True)
class HoldsAlways(HoldSpectralNorm):
    """Norms below the limit are raised to it."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, new = super().update(gradients, state, params)

        def projected(name: str, w: Any) -> Any:
            if name not in new["right"]:
                return 0.0 * w
            product = total_in(w * new["right"][name])
            return w * (self.limit / sqrt(total(product * product))) - w

        return named_map(projected, params), new
