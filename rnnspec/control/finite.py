"""Rules for gradients that are not finite, and the scale of the loss that keeps small gradients above underflow.

A finite number is neither NaN nor +-infinity. `SkipNonFinite` and `ScaleLoss` wrap an update rule; `ZeroNonFinite` and
`RaiseNonFinite` are policies of a chain.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnspec.control.rule import Rule, ToNumpy, UpdateRule
from rnnspec.errors import NetworkError, NonFiniteError
from rnnspec.primitives import maximum, minimum, total, where
from rnnspec.showing import shown
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["RaiseNonFinite", "ScaleLoss", "SkipNonFinite", "ZeroNonFinite"]

LARGEST_SCALE = 2.0**15
"""The largest power of 2 that f16 holds."""
LONGEST_INTERVAL = 256
"""The largest count that is exact in every precision."""


@dataclass(frozen=True)
class ZeroNonFinite(Rule):
    """Sets every entry that is not finite to 0."""

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(_is_finite(g), g, 0.0), gradients), state


@dataclass(frozen=True)
class RaiseNonFinite(Rule):
    """Makes `train_step` raise NonFiniteError, after the step has run, where an entry is not finite.

    Its state counts, for each map, the entries of the last step that were not finite. A compiled program cannot raise,
    so `train_step` reads the counts after it, and waits for the device.
    """

    def init(self, params: Tree) -> Tree:
        return tree_map(lambda _: np.zeros(()), params)

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return gradients, tree_map(_spoilt, gradients)

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        for name, count in leaves(to_numpy(state)):
            if not count < 0.5:
                raise NonFiniteError("train_step", "gradients must be finite",
                                     f"{count:.0f} entries of {name} that are not",
                                     "lower the rate, clip, or look at the batch")  # fmt: skip


@dataclass(frozen=True)
class SkipNonFinite(UpdateRule):
    """Wraps an update rule: where an entry of the gradient is not finite, parameters and the rule's state stay.

    `skipped` in its state counts such steps, exactly up to 256 in bf16 and 2,048 in f16. `reduce` sums the number of
    such entries over the shards of a distributed gradient. Raises NetworkError where `rule` is no update rule.
    """

    rule: UpdateRule
    reduce: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        _check_inner("SkipNonFinite", self.rule)

    def init(self, params: Tree) -> Tree:
        return {"rule": self.rule.init(params), "skipped": np.zeros(())}

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        finite = _all_finite(gradients, self.reduce)
        changes, kept = _where_finite(finite, self.rule, gradients, state["rule"], params)
        return changes, {"rule": kept, "skipped": state["skipped"] + where(finite, 0.0, 1.0)}

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        self.rule.verify(state["rule"], to_numpy)


@dataclass(frozen=True)
class ScaleLoss(UpdateRule):
    """Wraps an update rule: multiplies the loss by `scale` before its gradient is taken, and the gradient by 1/scale.

    It must be outermost, so that gradients are unscaled before any policy. `loss_sum` is not scaled. With an `interval`
    the scale changes: a step whose gradient is not finite is skipped, as by `SkipNonFinite`, and halves the scale;
    `interval` finite steps in a row double it, within 1 and 2^15 (Micikevicius et al., 2018, section 3.2). A scale that
    is a power of 2 changes no digit of a number that neither overflows nor underflows. Raises NetworkError where
    `scale` or `interval` is not valid, or `rule` is no update rule.
    """

    rule: UpdateRule
    scale: float = LARGEST_SCALE
    interval: int | None = None
    outermost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_inner("ScaleLoss", self.rule)
        number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if not number or not 1 <= self.scale <= LARGEST_SCALE:
            raise NetworkError("ScaleLoss(scale=...)", "scale must be a number of 1..2^15", shown(self.scale),
                               "give a power of 2")  # fmt: skip
        if self.interval is not None and (type(self.interval) is not int or not 1 <= self.interval <= LONGEST_INTERVAL):
            raise NetworkError("ScaleLoss(interval=...)", f"interval must be a whole number of 1..{LONGEST_INTERVAL}",
                               shown(self.interval),
                               "give the number of steps, or None for a constant scale")  # fmt: skip

    def init(self, params: Tree) -> Tree:
        following = {} if self.interval is None else {"finite_steps": np.zeros(())}
        return {"rule": self.rule.init(params), "scale": np.asarray(float(self.scale)), **following}

    def loss_scale(self, state: Tree) -> Any:
        return state["scale"]

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        scale = state["scale"]
        unscaled = tree_map(lambda g: g / scale, gradients)
        if self.interval is None:
            changes, kept = self.rule.update(unscaled, state["rule"], params)
            return changes, {"rule": kept, "scale": scale}
        finite = _all_finite(gradients, None)
        changes, kept = _where_finite(finite, self.rule, unscaled, state["rule"], params)
        steps = where(finite, state["finite_steps"] + 1.0, 0.0)
        enough = steps - self.interval > -0.5  # both are whole numbers: 0.5 keeps rounding from deciding
        held = where(finite, scale, maximum(scale / 2.0, 1.0))
        grown = where(enough, minimum(2.0 * scale, LARGEST_SCALE), held)
        return changes, {"rule": kept, "scale": grown, "finite_steps": where(enough, 0.0, steps)}

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        self.rule.verify(state["rule"], to_numpy)


def _is_finite(g: Any) -> Any:
    return float("inf") > maximum(g, -g)


def _spoilt(g: Any) -> Any:
    """The number of entries that are not finite."""
    return total(where(_is_finite(g), 0.0, 1.0))


def _all_finite(gradients: Tree, reduce: Callable[[Any], Any] | None) -> Any:
    spoilt = functools.reduce(operator.add, (_spoilt(g) for _, g in leaves(gradients)))
    return (spoilt if reduce is None else spoilt.apply("reduce", spoilt, reduce)) < 0.5


def _where_finite(finite: Any, rule: UpdateRule, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
    """The result of a rule where the condition holds; else no change and the old state."""
    changes, new = rule.update(gradients, state, params)
    return (tree_map(lambda change: where(finite, change, 0.0), changes),
            tree_map(lambda after, before: where(finite, after, before), new, state))  # fmt: skip


def _check_inner(call: str, rule: Any) -> None:
    if not isinstance(rule, UpdateRule) or rule.outermost:
        raise NetworkError(f"{call}(rule)", "rule must be an update rule, or a chain that ends in one", shown(rule),
                           "write ScaleLoss outermost, around rnnspec.chain(policies..., update)")  # fmt: skip
