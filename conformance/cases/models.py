"""Drawn cases with what whole models have: class numbers, a tied output, and initial states that are learned."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases.case import Case
from rnnspec.embedding import Embedding
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Tied

__all__ = ["modelled"]

CLASSES = 7
EVERY = 6
"""Of so many cases one has class numbers, and two learn states."""


def modelled(case: Case) -> Case:
    """The case as it was drawn, or by its seed with class numbers, or with learned states and no given one."""
    if case.seed % EVERY == 0:
        return replace(case, net=_of_classes(case.net, case.seed % (2 * EVERY) == 0))
    if case.seed % EVERY in (1, 2):
        return replace(case, net=replace(case.net, layers=[_learned(layer) for layer in case.net.layers]), unset=True)
    return case


def _of_classes(net: Network, tied: bool) -> Network:
    """The network of class numbers; a tied output has its own loss, unless that aligns labels."""
    if not tied or net.loss is None or net.loss.aligned:
        return replace(net, inputs=Embedding(CLASSES, net.input_features))
    return replace(net, inputs=Embedding(CLASSES, net.width), output=Tied())


def _learned(layer: Layer) -> Layer:
    return replace(layer, learned_state=True) if layer.cell.states else layer
