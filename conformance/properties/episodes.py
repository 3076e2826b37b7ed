"""Networks whose rows are cut into parts by resets: one more run and one more pullback for a backend that compiles."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import Case
from conformance.properties import networks
from conformance.properties.networks import Labels
from conformance.properties.truncation import Halving
from conformance.registry import Scope
from rnnspec import Network
from rnnspec.losses import SquaredError

__all__ = ["both_halves", "every_loss", "everything"]

SHARES = (0.2, 0.1, 0.5)
"""The shares of steps that are resets."""


def both_halves(scope: Scope) -> Labels:
    """Both directions of one cell, with a policy that counts steps: what the first precision affords."""
    affordable = scope.eager or scope.wide or (not scope.brief and scope.share[0] == 0)
    if not affordable:
        return {}
    (strategy,) = networks.bidirectional(scope).values()
    return _in_parts({"both halves": strategy.map(_halved)})


def everything(scope: Scope) -> Labels:
    """The same, and where networks cost nothing every cell, and layers above one another, long ones too."""
    if not scope.eager or scope.shapes:
        return both_halves(scope)
    single = {**networks.cells(scope), **networks.bidirectional(scope)}
    several = {**networks.stacked(scope), **networks.last(scope), **networks.long(scope), **networks.deep(scope)}
    return {**both_halves(scope), **_in_parts({**single, **several})}


def every_loss(scope: Scope) -> Labels:
    """Networks with losses, where they cost nothing."""
    if not scope.eager or scope.shapes:
        return {}
    return _in_parts({**networks.losses(scope), **networks.plain(scope)})


def _in_parts(labels: Labels) -> Labels:
    return {f"{label}, in parts": strategy.map(_cut_up) for label, strategy in labels.items()}


def _cut_up(case: Case) -> Case:
    return replace(case, resets=SHARES[case.seed % len(SHARES)])


def _halved(case: Case) -> Case:
    """The case under a policy that cuts no edge, also none at a reset, which a cotangent could cross."""
    layer = replace(case.net.layers[0], gradient=Halving(3))
    return replace(case, net=Network(case.net.inputs, [layer], loss=SquaredError()))
