"""Which whole models are tested: layers without a state among those of a scope, residual ones, and heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis.strategies import SearchStrategy

from conformance.cases import BATCH, HIDDEN, INPUTS, STEPS, Case, Pull, cases, hidden_for
from conformance.properties.networks import Labels
from conformance.registry import Scope
from rnnspec import Cell, Dense, Last, Layer, LayerNorm, Network, RMSNorm, cell
from rnnspec.feed_forward import FeedForward
from rnnspec.losses import SoftmaxCrossEntropy, SquaredError
from rnnspec.primitives import relu, sigmoid, tanh

__all__ = ["heads", "residuals", "single", "whole"]

WIDTH = 5
"""That of the dense layers, another than those of the cells."""
LENGTHS = (STEPS, 3, 0, 5, 6)


@cell
def gated(x: Any, R: Any) -> Any:
    """A gated layer of single steps, whose inner features are more than its outputs."""
    return R.down(sigmoid(x.gate) * x.gate * x.up)


SINGLE = {
    "a dense layer": Network(INPUTS, [Dense(WIDTH, tanh)]),
    "a layer norm": Network(INPUTS, [LayerNorm()]),
    "an RMS norm": Network(INPUTS, [RMSNorm()]),
    "a gated layer": Network(INPUTS, [Layer(gated, {"R.down": INPUTS, "x.up": 7}, residual=True), Dense(2)]),
}  # fmt: skip
"""Networks of single steps, by label."""


def whole(scope: Scope) -> Labels:
    """What the oracle is asked about: one network where programs cost, and elsewhere every other one too."""
    if scope.shapes or scope.closed or (scope.brief and not scope.eager):
        return {}
    found = {"a whole model": _with_lengths(_stack(scope))}
    if scope.eager or scope.wide:
        found |= {**single(scope), **heads(scope), **residuals(scope)}
    return found


def single(scope: Scope) -> Labels:
    """Networks of single steps, called without lengths."""
    return {label: cases([net]).map(_all_steps) for label, net in SINGLE.items()} if _affords(scope) else {}


def residuals(scope: Scope) -> Labels:
    """A residual layer of a cell in every direction, as wide as its inputs, above layers that make them so."""
    if not _affords(scope):
        return {}
    found = {}
    for i, direction in enumerate(("forward", "reverse", "bidirectional")):
        own = _layer(scope, i + 1, direction)
        wide = Network(WIDTH, [own]).width
        if Network(wide, [own]).width == wide:  # both halves of a norm are twice as wide as its inputs
            found[f"a residual {direction} layer"] = _with_lengths(
                Network(INPUTS, [Dense(wide, tanh), replace(own, residual=True)])
            )
    return found


def heads(scope: Scope) -> Labels:
    """Heads above what `Last()` reads of both halves, with an output layer and without."""
    if not _affords(scope):
        return {}
    lower = [_layer(scope, 2, "bidirectional")]
    short: list[FeedForward] = [Dense(WIDTH, relu), LayerNorm()]
    long = [*short, Dense(WIDTH, tanh)]
    return {
        "a head": _with_lengths(Network(INPUTS, lower, Last(), loss=SquaredError(), head=short)),
        "a head below an output layer": _with_lengths(
            Network(INPUTS, lower, Last(), Dense(4), SoftmaxCrossEntropy(), long)
        ),
    }


def _stack(scope: Scope) -> Network:
    """Cells with layers of single steps between them: dense ones, norms, one that is residual, and a head."""
    lower, upper = _layer(scope, 1, "bidirectional"), _layer(scope, 3, "reverse")
    wide = Network(WIDTH, [upper]).width
    layers: list[Layer | FeedForward] = [lower, Dense(wide, tanh), LayerNorm()]
    layers += [replace(upper, residual=True), RMSNorm(), Layer(gated, {"R.down": HIDDEN, "x.up": 7})]
    return Network(INPUTS, layers, output=Dense(2), loss=SquaredError(), head=[Dense(WIDTH, relu), LayerNorm()])


def _layer(scope: Scope, index: int, direction: str) -> Layer:
    given: Cell = scope.cells[index % len(scope.cells)]
    return Layer(given, hidden_for(given), direction)


def _affords(scope: Scope) -> bool:
    """Whether another network costs no program, and the backend runs cells of single steps."""
    return (scope.eager or scope.wide) and not scope.shapes and not scope.closed


def _all_steps(case: Case) -> Case:
    return replace(case, lengths=None, pull=Pull.BOTH)


def _with_lengths(net: Network) -> SearchStrategy[Case]:
    def lengthened(case: Case) -> Case:
        return replace(case, lengths=LENGTHS if case.seed % 3 else (STEPS,) * BATCH, pull=Pull.BOTH)

    return cases([net]).map(lengthened)
