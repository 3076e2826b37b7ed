"""Which networks the laws of workers are tested on: one where programs cost, and elsewhere every way to lose a sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis.strategies import SearchStrategy

from conformance.cases import BATCH, INPUTS, STEPS, Case, Pull, cases, drawn_cases, hidden_for, modelled
from conformance.properties.networks import Labels
from conformance.properties.noise import noisy
from conformance.registry import Scope
from rnnspec import Dense, Embedding, Last, Layer, Network, Tied, cells
from rnnspec.losses import CTC, SigmoidCrossEntropy, SoftmaxCrossEntropy

__all__ = ["everything", "finite", "forward", "noise", "over_time", "plain", "trained"]

CLASSES, WORDS, SHARE = 3, 11, 0.2
RAGGED = (STEPS, 3, 0, 5, 6)


def plain(scope: Scope) -> Labels:
    """Both halves of one layer, a reverse one on them and an output layer."""
    return {"two layers": _shaped(_two_layers(scope), scope)} if _affords(scope) else {}


def trained(scope: Scope) -> Labels:
    """The same, and where networks cost no program one that is read at the last step."""
    return {**plain(scope), **_labels({"last step": _last(scope)}, scope)}


def everything(scope: Scope) -> Labels:
    """What is added up: over layers, halves and heads, labels and rows of no steps, lookups and learned states."""
    lower, upper = _layer(scope, 1, "bidirectional"), _layer(scope, 3)
    words = Network(Embedding(WORDS, _layer(scope, 5).width), [_layer(scope, 5)], output=Tied(),
                    loss=SoftmaxCrossEntropy())  # fmt: skip
    begun = replace(words, layers=[replace(layer, learned_state=bool(layer.cell.states)) for layer in words.layers])
    nets = {
        "last step": _last(scope),
        "labels": Network(INPUTS, [lower, upper], output=Dense(4), loss=CTC(3)),
        "classes": begun,
    }
    if not scope.closed:
        nets["heads"] = Network(
            INPUTS, [Layer(cells.slstm, 2, heads=2), Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, heads=2)],
            output=Dense(CLASSES), loss=SigmoidCrossEntropy())  # fmt: skip
    return {**plain(scope), **_labels(nets, scope), **_drawn(scope)}


def finite(scope: Scope) -> Labels:
    """What is trained by several rules, where they cost no program."""
    return trained(scope) if scope.eager else {}


def forward(scope: Scope) -> Labels:
    """A network that can be read in windows."""
    layers = [_layer(scope, 2), _layer(scope, 3)]
    net = Network(INPUTS, layers, output=Dense(CLASSES), loss=SoftmaxCrossEntropy())
    return _labels({"forward": net}, scope)


def over_time(scope: Scope) -> Labels:
    """The same, and one of layers that are affine in their states, whose windows run at once."""
    if scope.closed:
        return forward(scope)
    layers = [Layer(cells.mingru, 4), Layer(cells.mingru, 3)]
    net = Network(INPUTS, layers, output=Dense(CLASSES), loss=SoftmaxCrossEntropy())
    return {**forward(scope), **_labels({"affine": net}, scope)}


def noise(scope: Scope) -> Labels:
    """Networks with every kind of noise, where they cost no program."""
    if not scope.eager:
        return {}
    found = noisy.everything(scope)
    return {label: found[label] for label in ("every noise", "noise of halves") if label in found}


def _labels(nets: Mapping[str, Network], scope: Scope) -> Labels:
    if not scope.eager or scope.shapes:
        return {}
    return {label: _shaped(net, scope) for label, net in nets.items()}


def _drawn(scope: Scope) -> Labels:
    """Networks and batches of any sizes, in the deep tier."""
    free = scope.wide and scope.eager and not scope.shapes
    return {"drawn rows": drawn_cases(scope.cells, scope.closed).map(modelled)} if free else {}


def _two_layers(scope: Scope) -> Network:
    layers = [_layer(scope, 2, "bidirectional"), _layer(scope, 4, "reverse")]
    return Network(INPUTS, layers, output=Dense(CLASSES), loss=SoftmaxCrossEntropy())


def _last(scope: Scope) -> Network:
    return Network(INPUTS, [_layer(scope, 5, "bidirectional")], Last(), Dense(CLASSES), SoftmaxCrossEntropy())


def _layer(scope: Scope, index: int, direction: str = "forward") -> Layer:
    cell = scope.cells[index % len(scope.cells)]
    return Layer(cell, hidden_for(cell), direction)


def _affords(scope: Scope) -> bool:
    return not scope.shapes and (scope.eager or scope.wide or (not scope.brief and scope.share[0] == 0))


def _shaped(net: Network, scope: Scope) -> SearchStrategy[Case]:
    """Called with lengths, of which some end early in every second case, and mostly with resets where that costs no
    program; elsewhere with rows that two workers share equally.
    """
    def shape(case: Case) -> Case:
        rows = BATCH if scope.eager else BATCH - 1
        ends = RAGGED if case.seed % 2 else (STEPS,) * BATCH
        resets = SHARE if scope.eager and case.seed // 2 % 3 else None
        return replace(case, batch=rows, lengths=ends[:rows], pull=Pull.BOTH, resets=resets)

    return cases([net]).map(shape)
