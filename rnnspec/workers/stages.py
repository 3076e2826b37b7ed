"""Stages of a network: consecutive layers as a network of their own, so that one may run before the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.network import Network
from rnnspec.output import Steps, Tied
from rnnspec.showing import shown
from rnnspec.tree import Tree

__all__ = ["Stage", "joined", "layered", "whole"]


@dataclass(frozen=True)
class Stage:
    """The layers `begin` to `end` of a network, as `net`; the last stage has its head and its output too."""

    net: Network
    begin: int
    end: int
    beside: tuple[str, ...]
    """The names of the parameters that it has beside its layers, such as `output`."""

    def params(self, tree: Tree) -> Tree:
        """The stage's part of a tree of parameters."""
        return {"layers": tree["layers"][self.begin : self.end], **{name: tree[name] for name in self.beside}}

    def state(self, tree: Tree) -> Tree:
        """The stage's part of a tree of states; None stays None."""
        return None if tree is None else tree[self.begin : self.end]

    def path(self, found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """What ran, under the places of the network."""
        def placed(place: str) -> str:
            kind, index, half = place.split(".")
            return f"layers.{int(index) + self.begin}.{half}" if kind == "layers" else place

        return [(placed(place), ran) for place, ran in found]


def whole(net: Network) -> tuple[Stage, ...]:
    """The network as one stage."""
    return (Stage(net, 0, len(net.layers), tuple(net.parameter_shapes().keys() - {"layers"})),)


def layered(call: str, net: Network) -> tuple[Stage, ...]:
    """A stage for each layer that has a state, with the layers without one that follow it, or come before the first.

    Raises NetworkError where the last of several stages would need a parameter of the first.
    """
    begins = [i for i, layer in enumerate(net.layers) if layer.cell.states]
    if len(begins) < 2:
        return whole(net)
    if isinstance(net.output, Tied):
        raise NetworkError(call, "the output must not be Tied where layers run apart", shown(net.output),
                           "use Chain, which runs all layers of a window together")  # fmt: skip
    cuts = [0, *begins[1:], len(net.layers)]
    return tuple(_stage(net, begin, end) for begin, end in pairwise(cuts))


def _stage(net: Network, begin: int, end: int) -> Stage:
    more: dict[str, Any] = {"read": Steps()}
    if end == len(net.layers):
        more = {"read": net.read, "head": net.head, "output": net.output, "loss": net.loss}
    own = Network(inputs=net.layer_inputs(begin) if begin else net.inputs, layers=net.layers[begin:end], **more)
    return Stage(own, begin, end, tuple(own.parameter_shapes().keys() - {"layers"}))


def joined(trees: Sequence[Tree]) -> Tree:
    """The tree of the network from those of the stages' parameters, in order."""
    beside = {name: part for tree in trees for name, part in tree.items() if name != "layers"}
    return {**beside, "layers": [layer for tree in trees for layer in tree["layers"]]}
