"""Policies and update rules that are wrong, each in one way."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByValue
from rnnspec.primitives import maximum, minimum, sqrt, total, where
from rnnspec.tree import Tree, leaves, named_map, tree_map
from rnnspec.updates import SGD, Adam


@dataclass(frozen=True)
class GlobalPerMap(ClipByGlobalNorm):
    """A global norm of each map by itself."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByNorm(self.limit).update(gradients, state, params)


@dataclass(frozen=True)
class GlobalSquared(ClipByGlobalNorm):
    """Without the root."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = _squares(gradients)
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class GlobalAlways(ClipByGlobalNorm):
    """Also below the limit."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        return tree_map(lambda g: g * (self.limit / norm), gradients), state


@dataclass(frozen=True)
class GlobalWithEpsilon(ClipByGlobalNorm):
    """The norm and 1e-3."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        scale = minimum(self.limit / (sqrt(_squares(gradients)) + 1e-3), 1.0)
        return tree_map(lambda g: g * scale, gradients), state


@dataclass(frozen=True)
class GlobalLaunders(ClipByGlobalNorm):
    """Zeros where the norm is not finite."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        scale = where(norm > self.limit, self.limit / norm, 1.0)
        return tree_map(lambda g: where(float("inf") > norm, g * scale, 0.0), gradients), state


@dataclass(frozen=True)
class GlobalDividesByZero(ClipByGlobalNorm):
    """0/0 where norm and limit are 0."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        return tree_map(lambda g: g * (self.limit / maximum(norm, self.limit)), gradients), state


@dataclass(frozen=True)
class GlobalWithoutOutput(ClipByGlobalNorm):
    """Without the output layer."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients["layers"]))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class GlobalWithoutBiases(ClipByGlobalNorm):
    """Without biases."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        squares = [total(g * g) for name, g in leaves(gradients) if ".b." not in name]
        norm = sqrt(functools.reduce(operator.add, squares))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class GlobalOfSums(ClipByGlobalNorm):
    """Of absolute values."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = functools.reduce(operator.add, (total(maximum(g, -g)) for _, g in leaves(gradients)))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class NormIsGlobal(ClipByNorm):
    """One norm of all maps."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByGlobalNorm(self.limit).update(gradients, state, params)


@dataclass(frozen=True)
class NormOfMatricesOnly(ClipByNorm):
    """Not of biases."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        clipped, _ = super().update(gradients, state, params)
        return named_map(lambda name, g, c: g if ".b." in name else c, gradients, clipped), state


@dataclass(frozen=True)
class ValueFromAbove(ClipByValue):
    """From above only."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: minimum(g, self.limit), gradients), state


@dataclass(frozen=True)
class ValueToZero(ClipByValue):
    """0 beyond the limit."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(maximum(g, -g) > self.limit, 0.0, g), gradients), state


@dataclass(frozen=True)
class ValueLaunders(ClipByValue):
    """0 for NaN."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        clipped, _ = super().update(gradients, state, params)
        return tree_map(lambda g, c: where(g >= 0.0, c, where(g < 0.0, c, 0.0)), gradients, clipped), state


@dataclass(frozen=True)
class Ascends(SGD):
    """Uphill."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        change, state = super().update(gradients, state, params)
        return tree_map(lambda c: -c, change), state


@dataclass(frozen=True)
class AscendsWithoutMomentum(SGD):
    """Up, where there is no momentum."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, new = super().update(gradients, state, params)
        return (changes if self.momentum else tree_map(lambda d: -d, changes)), new


@dataclass(frozen=True)
class Dampens(SGD):
    """A moving average."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g: (1 - self.momentum) * g, gradients), state, params)


@dataclass(frozen=True)
class LooksAhead(SGD):
    """Nesterov's."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        change, state = super().update(gradients, state, params)
        if not self.momentum:
            return change, state
        return tree_map(lambda v, g: -self.rate * (self.momentum * v + g), state["velocity"], gradients), state


@dataclass(frozen=True)
class Decays(SGD):
    """With weight decay."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g, w: g + 1e-3 * w, gradients, params), state, params)


@dataclass(frozen=True)
class Uncorrected(Adam):
    """Without the correction."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, new = super().update(gradients, state, params)
        return tree_map(lambda m, v: -self.rate * m / (sqrt(v) + self.epsilon), new["m"], new["v"]), new


@dataclass(frozen=True)
class BetasExchanged(Adam):
    """With exchanged decays."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return Adam(self.rate, self.beta2, self.beta1, self.epsilon).update(gradients, state, params)


@dataclass(frozen=True)
class EpsilonInside(Adam):
    """With epsilon inside the root."""

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, new = super().update(gradients, state, params)

        def change(m: Any, v: Any) -> Any:
            return -self.rate * (m / new["m_mass"]) / sqrt(v / new["v_mass"] + self.epsilon)

        return tree_map(change, new["m"], new["v"]), new


def _squares(gradients: Tree) -> Any:
    return functools.reduce(operator.add, (total(g * g) for _, g in leaves(gradients)))
