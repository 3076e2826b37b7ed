"""Which networks with noise the laws are tested on.

A backend that compiles is asked for one network with every kind of noise, in the first precision; another backend also
for each kind by itself, in both directions, and with heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from conformance.cases import BATCH, INPUTS, STEPS, Case, cases, drawn_cases, hidden_for
from conformance.properties.networks import Labels
from conformance.registry import Scope
from rnnspec import Cell, Dense, Dropout, Last, Layer, Network, cells
from rnnspec.losses import SoftmaxCrossEntropy
from rnnspec.noise import GateDropout, Lifetime, Noise, PerSequence, PerStep, WeightDrop, Zoneout
from rnnspec.noise.equations import gates, zoned
from rnnspec.noise.lifetimes import LIFETIMES

__all__ = ["everything", "forward", "shares"]

Layers = Sequence[Layer | Dropout]

CLASSES, HEADS = 3, 2
EACH = PerStep()
BENT = ("zoneout", "gates")
"""The kinds of noise that change equations, so that a backend of few cells runs other ones."""
MANY = 60
"""So many features that shares show."""


def everything(scope: Scope) -> Labels:
    """Every network with noise."""
    if not _affords(scope):
        return {}
    return {**_labels({**_forward(scope), **_others(scope)}), **_drawn(scope)}


def forward(scope: Scope) -> Labels:
    """Networks that can be read in windows."""
    return _labels(_forward(scope)) if _affords(scope) else {}


def _forward(scope: Scope) -> Mapping[str, Network]:
    lower, upper = (scope.cells[i % len(scope.cells)] for i in (2, 5))
    bent = () if scope.closed else (_states(lower), _gate(lower, 0.25))
    first = _layer(lower, _weights(lower, 0.3), *bent)
    every: Layers = [first, Dropout(0.2, PerSequence()), _layer(upper, (Dropout(0.4),)), Dropout(0.1)]
    found = {"every noise": _network(every)}
    if not scope.eager or scope.shapes:
        return found
    alone: dict[str, Layers] = {
        "dropout": [Dropout(0.4), _layer(lower), Dropout(0.3), _layer(upper)],
        "dropout of sequences": [Dropout(0.4, PerSequence()), _layer(upper), Dropout(0.3, PerSequence())],
        "weight drop": [_layer(lower, _weights(lower, 0.4)), _layer(upper, _weights(upper, 0.25))],
        "zoneout": [_layer(lower, _states(lower)), _layer(upper, _states(upper))],
        "gates": [_layer(lower, _gate(lower, 0.4, PerSequence())), _layer(upper, _gate(upper, 0.25))],
    }  # fmt: skip
    chosen = {label: layers for label, layers in alone.items() if not scope.closed or label not in BENT}
    return {**found, **{label: _network(layers) for label, layers in chosen.items()}}


def _others(scope: Scope) -> Mapping[str, Network]:
    """Both directions, whose last step is read through dropout, and heads."""
    if not scope.eager or scope.shapes or scope.closed:
        return {}
    lower = Layer(cells.lstm, 3, "bidirectional", noise=(Zoneout(0.2), WeightDrop(0.3)))
    both: Layers = [lower, Dropout(0.3), Layer(cells.gru, 2, "reverse", noise=GateDropout("n", 0.4)), Dropout(0.2)]
    headed = Layer(cells.slstm, 2, heads=HEADS, noise=(Zoneout({"h": 0.3}), WeightDrop(0.3), GateDropout("z", 0.25)))
    return {
        "noise of halves": Network(INPUTS, both, output=Dense(CLASSES), loss=SoftmaxCrossEntropy()),
        "noise before the last step": Network(INPUTS, [Layer(cells.gru, 3, "bidirectional"), Dropout(0.5)], Last(),
                                              Dense(CLASSES), SoftmaxCrossEntropy()),
        "noise of heads": Network(INPUTS, [headed], output=Dense(CLASSES), loss=SoftmaxCrossEntropy()),
    }  # fmt: skip


def _drawn(scope: Scope) -> Labels:
    """Networks of any sizes, with noise in a layer and dropout before or after it, where that costs nothing."""
    free = scope.eager and not scope.shapes and not scope.closed
    return {"drawn noise": drawn_cases(scope.cells).map(_with_noise)} if free else {}


def _with_noise(case: Case) -> Case:
    """The case with the noise that its seed says."""
    rate, masks = 0.1 + case.seed % 7 / 10, LIFETIMES[case.seed // 7 % 2]()
    place = case.seed % len(case.net.layers)
    layer = case.net.layers[place]
    kinds = (_weights(layer.cell, rate), _states(layer.cell), _gate(layer.cell, rate, masks), (Dropout(rate, masks),))
    own = replace(layer, noise=sum((kind for i, kind in enumerate(kinds) if case.seed >> i & 1), ()))
    layers: list[Layer | Dropout] = [*case.net.layers[:place], own, *case.net.layers[place + 1 :]]
    layers.insert(case.seed // 11 % (len(layers) + 1), Dropout(rate, masks))
    return replace(case, net=replace(case.net, layers=layers))  # type: ignore[arg-type]  # they become layers


def shares(scope: Scope) -> Labels:
    """A layer of dropout whose rate shows, where another network costs no program."""
    if not scope.eager or scope.shapes or scope.closed:
        return {}
    net = Network(MANY, [Dropout(0.3), Layer(cells.elman_relu, MANY)])
    return {"a third of many": cases([net]).map(lambda case: replace(case, lengths=None))}


def _affords(scope: Scope) -> bool:
    return scope.eager or scope.wide or (not scope.brief and scope.share[0] == 0)


def _labels(networks: Mapping[str, Network]) -> Labels:
    return {label: cases([net]).map(lambda case: case if case.lengths else replace(case, lengths=(STEPS,) * BATCH))
            for label, net in networks.items()}  # fmt: skip


def _network(layers: Layers) -> Network:
    return Network(INPUTS, layers, output=Dense(CLASSES), loss=SoftmaxCrossEntropy())


def _layer(cell: Cell, *noise: tuple[Noise, ...]) -> Layer:
    return Layer(cell, hidden_for(cell), noise=sum(noise, ()))


def _weights(cell: Cell, rate: float) -> tuple[Noise, ...]:
    return (WeightDrop(rate),) if cell.parameter_names["U"] else ()


def _states(cell: Cell) -> tuple[Noise, ...]:
    """Another rate for each state, none for the last of several, so that it shows which is which."""
    rates = {state: 0.2 + 0.1 * i for i, state in enumerate(zoned(cell)[:-1] or zoned(cell))}
    return (Zoneout(rates),) if rates else ()


def _gate(cell: Cell, rate: float, masks: Lifetime = EACH) -> tuple[Noise, ...]:
    return tuple(GateDropout(gate, rate, masks) for gate in gates(cell)[:1])
