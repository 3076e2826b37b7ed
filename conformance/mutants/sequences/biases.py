"""Faults with biases: in a layer's values and its gradients together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients
from rnnspec.tree import Tree


class _Scaled(Faulty):
    """Some biases are scaled, as if they were other parameters."""

    def factor(self, place: str, first: bool) -> float:
        """By what, in a layer's half, for its first bias or another one."""
        return 1.0

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, params=self._weighed(asked.call.place, asked.params))

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, params=self._weighed(pulled.call.place, pulled.params))

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=self._weighed(pulled.call.place, gradients.params))

    def _weighed(self, place: str, params: Tree) -> Tree:
        def scaled(i: int, a: Any) -> Any:
            return a * a.dtype.type(self.factor(place, i == 0))

        return {**params, "b": {name: scaled(i, a) for i, (name, a) in enumerate(params["b"].items())}}


class OfTheFirstMapMissing(_Scaled):
    """The first input map of a cell has no bias."""

    def factor(self, place: str, first: bool) -> float:
        return 0.0 if first else 1.0


class AboveTheFirstLayerMissing(_Scaled):
    """Layers above the first have no bias."""

    def factor(self, place: str, first: bool) -> float:
        return 1.0 if place.startswith("layers.0.") else 0.0


class OfReverseHalvesMissing(_Scaled):
    """Reverse halves have no bias."""

    def factor(self, place: str, first: bool) -> float:
        return 0.0 if place.endswith("reverse") else 1.0


class Halved(_Scaled):
    """Biases count half."""

    def factor(self, place: str, first: bool) -> float:
        return 0.5


class OfOtherMapsTwice(_Scaled):
    """The biases of all input maps but the first are added twice."""

    def factor(self, place: str, first: bool) -> float:
        return 1.0 if first else 2.0
