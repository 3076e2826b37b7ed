"""Drawn cases on both sides of a policy's threshold: numbers of any structure, brought to a wanted ratio to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from conformance import oracle, tolerance
from conformance.cases import Arrays, Case
from conformance.oracle.number import Number
from conformance.tolerance import PROFILES, Reference
from rnnspec import Network, chain
from rnnspec.control.rule import Rule
from rnnspec.policies import (
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByUnitNorm,
    ClipByValue,
    ClipStateByNorm,
    ClipStateByValue,
    Cut,
    RaiseNonFinite,
    Recurrence,
    ScaleLoss,
    SkipNonFinite,
    Truncated,
    ZeroNonFinite,
)
from rnnspec.tree import Tree, leaves, named_map, tree_map
from rnnspec.updates import SGD, HoldSpectralNorm

DESCENT = SGD(0.125, 0.875)
"""What follows a policy; its velocity shows what the policy let through."""
LIMIT, RATIO, EPSILON, CHUNK = 0.3, 0.07, 0.5, 3


@dataclass(frozen=True)
class Drawn:
    """A question whose ratio to the threshold is known: beyond it above 1, within it below."""

    net: Network
    rule: Rule | None
    arrays: Arrays
    beyond: bool

    def reference(self, precision: str, seed: int) -> Reference:
        """What a training step by the rule must give, or the pullback where there is none, and the yardstick."""
        a, compute = self.arrays, partial(_pulled, self.net, self.arrays)
        if self.rule is not None:
            compute = partial(oracle.train, self.net, self.rule, a.params, [(a.inputs, a.targets, a.state, a.lengths)])
        return tolerance.reference(PROFILES[precision], lambda arithmetic: compute(arithmetic=arithmetic), seed)


def _pulled(net: Network, a: Arrays, arithmetic: oracle.Arithmetic) -> Tree:
    return oracle.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths,
                           arithmetic)  # fmt: skip


Draw = Callable[[Case, str, float], Drawn]
"""The question of a case in a precision, at a ratio to the threshold."""


def finished(rule: Rule, ratio: Callable[[Tree, Tree], float]) -> Draw:
    """The squared error's gradient grows with the distance of the targets: they are moved to where it is to be."""

    def draw(case: Case, precision: str, wanted: float) -> Drawn:
        a = case.arrays(precision)
        given = (case.net, a.params, a.inputs, a.targets, a.state, a.lengths)
        z = oracle.run(case.net, a.params, a.inputs, a.state, a.lengths).outputs[0]
        step = oracle.value_and_grad(*given)
        found = ratio(tree_map(lambda g: g[0] / max(step.count, 1), step.grads.params), a.params)
        grown = wanted / found if found else 1.0
        with np.errstate(invalid="ignore"):
            y = np.where(case.real[..., None], z + (a.targets - z) * grown, a.targets)
        moved = replace(a, targets=PROFILES[precision].round(y))
        return Drawn(case.net, rule, moved, bool(found) and wanted > 1)

    return draw


def guarded(rule: Rule, values: Sequence[float] = (np.nan, np.inf, -np.inf)) -> Draw:
    """The threshold is between the finite and the rest: one target of a real step is one of the values."""

    def draw(case: Case, precision: str, wanted: float) -> Drawn:
        a, rng = case.arrays(precision), np.random.default_rng(case.seed)
        y = np.array(a.targets)
        if wanted > 1:
            place = rng.choice(np.argwhere(case.real))
            y[(*place, rng.integers(case.net.features))] = rng.choice(values)
        return Drawn(case.net, rule, replace(a, targets=y), wanted > 1)

    return draw


def spectral(rule: HoldSpectralNorm) -> Draw:
    """Recurrent maps are scaled so that one step of power iteration finds the wanted ratio; the change is small."""

    def draw(case: Case, precision: str, wanted: float) -> Drawn:
        a = case.arrays(precision)
        right = rule.init(a.params)["right"]

        def of_norm(w: Any, row: Any) -> Any:
            v = (w @ row) @ w
            estimate = np.linalg.norm(w @ (v / np.linalg.norm(v)))
            return PROFILES[precision].round(w * (wanted * rule.limit / estimate))

        def scaled(name: str, w: Any) -> Any:
            if name not in right:
                return w
            maps, rows = w.reshape(-1, *w.shape[-2:]), right[name].reshape(-1, w.shape[-1])
            return np.stack([of_norm(one, row) for one, row in zip(maps, rows, strict=True)]).reshape(w.shape)

        return Drawn(case.net, rule, replace(a, params=named_map(scaled, a.params)), bool(right) and wanted > 1)

    return draw


class _Seen(Recurrence):
    """Lets all cotangents through, and keeps the largest measure of them."""

    def __init__(self, measure: Callable[[Mapping[str, Any]], float]) -> None:
        self.measure, self.largest = measure, 0.0

    def total(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        if all(isinstance(d, Number) for d in cotangents.values()):
            self.largest = max(self.largest, self.measure({s: d.value[0] for s, d in cotangents.items()}))
        return cotangents


def under(net: Network, policy: Callable[[Any], Recurrence]) -> Network:
    """The network with a policy, made for its cell, in every layer."""
    return replace(net, layers=[replace(layer, gradient=policy(layer.cell)) for layer in net.layers])


def recurrent(policy: Callable[[Any], Recurrence], measure: Callable[[Mapping[str, Any]], float]) -> Draw:
    """Cotangents without a policy grow with those that are given; these are scaled to where they are to be."""

    def draw(case: Case, precision: str, wanted: float) -> Drawn:
        a, seen = case.arrays(precision), _Seen(measure)
        _pulled(under(case.net, lambda _: seen), a, oracle.EXACT)
        grown = wanted / seen.largest if seen.largest else 1.0
        scaled = {name: tree_map(lambda d: PROFILES[precision].round(d * grown), getattr(a, name))
                  for name in ("output_cotangent", "state_cotangent")}  # fmt: skip
        return Drawn(under(case.net, policy), None, replace(a, **scaled), bool(seen.largest) and wanted > 1)

    return draw


def cutting(policy: Callable[[Any], Recurrence], first: int) -> Draw:
    """The threshold is the first edge that is cut: rows end before it, or one goes on behind it."""

    def draw(case: Case, precision: str, wanted: float) -> Drawn:
        beyond = wanted > 1 and case.steps > first
        ends = np.minimum(case.ends, case.steps if beyond else first)
        if beyond:
            ends[case.seed % case.batch] = case.steps
        cut = replace(case, lengths=tuple(map(int, ends)))
        return Drawn(under(case.net, policy), None, cut.arrays(precision), beyond)

    return draw


def _parts(tree: Tree, norm: Callable[[Any], Any]) -> float:
    return max(float(np.max(norm(np.asarray(g, float)))) for _, g in leaves(tree))


def _unit(g: Any) -> Any:
    return np.linalg.norm(g, axis=-1) if g.ndim > 1 else np.abs(g)


def _unit_ratio(mean: Tree, params: Tree) -> float:
    held = tree_map(lambda g, w: _unit(g) / (RATIO * np.maximum(_unit(np.asarray(w, float)), EPSILON)), mean, params)
    return _parts(held, np.abs)


def _largest_entry(cotangents: Mapping[str, Any]) -> float:
    return max(float(np.abs(d).max(initial=0.0)) for d in cotangents.values())


def _largest_norm(cotangents: Mapping[str, Any]) -> float:
    return max(float(np.linalg.norm(d, axis=-1).max(initial=0.0)) for d in cotangents.values())


def _joint_norm(cotangents: Mapping[str, Any]) -> float:
    return float(np.linalg.norm(np.concatenate(list(cotangents.values()), -1), axis=-1).max(initial=0.0))


DRAWS: dict[str, Draw] = {
    "ClipByValue": finished(chain(ClipByValue(LIMIT), DESCENT), lambda g, w: _parts(g, np.abs) / LIMIT),
    "ClipByNorm": finished(chain(ClipByNorm(LIMIT), DESCENT), lambda g, w: _parts(g, np.linalg.norm) / LIMIT),
    "ClipByGlobalNorm": finished(
        chain(ClipByGlobalNorm(LIMIT), DESCENT),
        lambda g, w: float(np.sqrt(sum((a * a).sum() for _, a in leaves(g)))) / LIMIT,
    ),
    "ClipByUnitNorm": finished(chain(ClipByUnitNorm(RATIO, EPSILON), DESCENT), _unit_ratio),
    "ZeroNonFinite": guarded(chain(ZeroNonFinite(), DESCENT)),
    "RaiseNonFinite": guarded(chain(RaiseNonFinite(), DESCENT)),
    "SkipNonFinite": guarded(SkipNonFinite(DESCENT)),
    # It lets through what it is given: an infinite number would be NaN or not by the order of its factors.
    "ScaleLoss, a scale that stays": guarded(ScaleLoss(DESCENT, 2.0**10), (np.nan,)),
    "ScaleLoss, a scale that follows": guarded(ScaleLoss(DESCENT, 2.0**10, interval=1)),
    "HoldSpectralNorm": spectral(HoldSpectralNorm(SGD(2.0**-12), LIMIT)),
    "Truncated": cutting(lambda cell: Truncated(CHUNK), CHUNK),
    "Cut": cutting(lambda cell: Cut(), 1),
    "Cut, one state": cutting(lambda cell: Cut(cell.states[-1:]), 1),
    "ClipStateByValue": recurrent(lambda cell: ClipStateByValue(LIMIT), lambda d: _largest_entry(d) / LIMIT),
    "ClipStateByNorm": recurrent(lambda cell: ClipStateByNorm(LIMIT), lambda d: _largest_norm(d) / LIMIT),
    "ClipStateByNorm, joint": recurrent(
        lambda cell: ClipStateByNorm(LIMIT, joint=True), lambda d: _joint_norm(d) / LIMIT
    ),
}
"""How each policy is brought to its threshold."""
