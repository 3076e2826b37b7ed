"""Faults with parameters and inputs that are zeros, taken for none, for ones not yet set, or for the end of a path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, LayerResult, Step
from rnnspec.tree import Tree, tree_map


class _Skipped(Faulty):
    """What of one kind is zeros has a gradient of zeros."""

    kind: ClassVar[str] = ""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params={**gradients.params, self.kind: tree_map(
            _where_some, pulled.params[self.kind], gradients.params[self.kind])})  # fmt: skip


class BiasHasNoGradient(_Skipped):
    """The backend takes a bias of zeros for a missing one, and gives it no gradient."""

    kind = "b"


class InputMapHasNoGradient(_Skipped):
    """The backend takes an input map of zeros for a missing one, and gives it no gradient."""

    kind = "W"


class VectorHasNoGradient(_Skipped):
    """The backend takes a vector of zeros for a missing one, and gives it no gradient."""

    kind = "p"


class _Set(Faulty):
    """What of one kind is zeros is set to something."""

    kind: ClassVar[str] = ""
    value: ClassVar[float] = 1.0

    def given(self, given: Given) -> Given:
        def whole(half: Tree) -> Tree:
            return {**half, self.kind: tree_map(self._unless_zeros, half[self.kind])}

        layers = [{name: whole(half) for name, half in layer.items()} for layer in given.params["layers"]]
        return replace(given, params={**given.params, "layers": layers})

    def _unless_zeros(self, a: Any) -> Any:
        return np.full_like(a, self.value) if np.size(a) and not np.any(a) else a


class BiasIsInitialised(_Set):
    """A bias of zeros is taken for one that is not set, and becomes ones."""

    kind = "b"


class InputMapIsInitialised(_Set):
    """An input map of zeros is taken for one that is not set."""

    kind, value = "W", 0.1


class VectorIsInitialised(_Set):
    """A vector of zeros is taken for one that is not set."""

    kind, value = "p", 0.1


class OneMapForAll(Faulty):
    """Where one of several recurrent maps is zeros, the others of its layer are taken for zeros too."""

    def asked(self, asked: Asked) -> Asked:
        maps = asked.params["U"]
        some = any(np.any(a) for a in maps.values()) and not all(np.any(a) for a in maps.values())
        return replace(asked, params={**asked.params, "U": tree_map(np.zeros_like, maps)}) if some else asked


class NoInputsNoStep(Faulty):
    """Where all inputs are zeros the states stay."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return result if np.any(asked.inputs) else replace(result, state=tree_map(np.array, asked.state))


class InputsHaveNoGradient(Faulty):
    """Inputs that are all zeros have a gradient of zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        none = not np.any(pulled.result.saved.inputs)
        return replace(gradients, inputs=np.zeros_like(gradients.inputs)) if none else gradients


class OneStateHasNoGradient(Faulty):
    """One of several initial states has a gradient of zeros where it is zeros, and the others are not."""

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        state = given[5] if len(given) > 5 else named.get("state")
        if state is None or not any(np.any(s) for layer in state for half in layer.values() for s in half.values()):
            return found
        return replace(found, state=tree_map(_where_some, state, found.state))


class _Output(Faulty):
    """An output layer that is partly zeros has other gradients."""

    def of_output(self, output: Tree, gradients: Gradients) -> Gradients:
        """What they are."""
        return gradients

    def value_and_grad(self, net: Any, params: Tree, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, params, *given, **named)
        return step if net.output is None else replace(step, grads=self.of_output(params["output"], step.grads))


class OutputMapHasNoGradient(_Output):
    """An output map of zeros has no gradient, since nothing is before it."""

    def of_output(self, output: Tree, gradients: Gradients) -> Gradients:
        return _with_output(gradients, "W", output)


class OutputBiasHasNoGradient(_Output):
    """The backend takes an output bias of zeros for a missing one, and gives it no gradient."""

    def of_output(self, output: Tree, gradients: Gradients) -> Gradients:
        return _with_output(gradients, "b", output)


def _with_output(gradients: Gradients, name: str, output: Tree) -> Gradients:
    own = gradients.params["output"]
    mended = {**own, name: _where_some(output[name], own[name])}
    return replace(gradients, params={**gradients.params, "output": mended})


def _where_some(a: Any, gradient: Any) -> Any:
    return gradient if np.any(a) else np.zeros_like(gradient)
