"""Which networks with class numbers and learned states the laws are tested on: one where programs cost."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import BATCH, INPUTS, STEPS, Case, Pull, cases, hidden_for
from conformance.properties.networks import Labels
from conformance.registry import Scope
from rnnspec import Cell, Dense, Embedding, Last, Layer, Network, Tied, cells
from rnnspec.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.policies import Truncated

__all__ = ["beginning", "free", "unseen", "words"]

CLASSES = 23
"""So many that a batch does not have all of them."""
SHARE = 0.15
"""Of the steps of most rows that are resets."""
HEADED = Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, heads=2, shared=("x.k",), learned_state=True)


def words(scope: Scope) -> Labels:
    """Class numbers, and where networks cost no program also both halves, and one layer above another."""
    return {**_tied(scope), **_apart(scope)}


def _tied(scope: Scope) -> Labels:
    """One layer that learns its initial states, and a tied output."""
    if not _affordable(scope):
        return {}
    layer = _learning(scope, 5)
    wide = Network(INPUTS, [layer]).width
    net = Network(Embedding(CLASSES, wide), [layer], output=Tied(), loss=SoftmaxCrossEntropy())
    return {"tied": cases([net]).map(_shaped)}


def free(scope: Scope) -> Labels:
    """The same where networks cost no program."""
    return words(scope) if scope.eager else {}


def unseen(scope: Scope) -> Labels:
    """Networks in which nothing but the lookup has a gradient of the matrix: cotangents of final states alone."""
    return {label: found.map(lambda case: replace(case, pull=Pull.STATES)) for label, found in words(scope).items()}


def beginning(scope: Scope) -> Labels:
    """Every cell with learned states, under a policy, and with heads; where programs cost one below a tied output."""
    if not scope.eager:
        return _tied(scope)
    if scope.shapes:
        return {}
    layers = {cell.label: [Layer(cell, hidden_for(cell), learned_state=True)] for cell in scope.cells if cell.states}
    both = replace(_learning(scope, 2, "bidirectional"), gradient=Truncated(3))
    layers["both halves, cut"] = [both, Layer(_cell(scope, 3), hidden_for(_cell(scope, 3)), "reverse")]
    if not scope.closed:
        layers["heads"] = [HEADED]
    nets = {label: Network(INPUTS, own, loss=SquaredError()) for label, own in layers.items()}
    return {label: cases([net]).map(_shaped) for label, net in nets.items()}


def _apart(scope: Scope) -> Labels:
    """Networks without a tied output."""
    if not scope.eager or scope.shapes:
        return {}
    both = _learning(scope, 2, "bidirectional")
    upper = Layer(_cell(scope, 1), hidden_for(_cell(scope, 1)), "reverse")
    nets = {
        "classes, both halves": Network(Embedding(CLASSES, 3), [both], Last(), Dense(6), SoftmaxCrossEntropy()),
        "classes, two layers": Network(Embedding(CLASSES, 2), [both, upper], output=Dense(2),
                                       loss=SigmoidCrossEntropy()),
    }  # fmt: skip
    return {label: cases([net]).map(_shaped) for label, net in nets.items()}


def _learning(scope: Scope, index: int, direction: str = "forward") -> Layer:
    """A layer of a cell that learns its initial states, where it has any."""
    cell = _cell(scope, index)
    return Layer(cell, hidden_for(cell), direction, learned_state=bool(cell.states))


def _affordable(scope: Scope) -> bool:
    return not scope.shapes and (scope.eager or scope.wide or not (scope.brief or scope.share[0]))


def _cell(scope: Scope, index: int) -> Cell:
    own = [cell for cell in scope.cells if cell.states] or list(scope.cells)
    return own[index % len(own)]


def _shaped(case: Case) -> Case:
    """Called with lengths and resets and without a state; of every second case some rows end early."""
    ends = (STEPS,) * BATCH if case.seed % 2 else (STEPS, 3, 0, 5, 6)
    return replace(case, lengths=ends, pull=Pull.BOTH, resets=SHARE, unset=True)
