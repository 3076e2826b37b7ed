"""Faults of a recurrence whose x.name are given: which array is which, what reaches which, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Cell, Gradients, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class _Called(Faulty):
    """Both calls, with other arguments and other results."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        """What both calls go on with: given, params, state, lengths and resets."""
        return arguments

    def ran(self, cell: Cell, given: Tree, found: Result) -> Result:
        """What a run answers."""
        return found

    def pulled_through(self, cell: Cell, given: Tree, found: Gradients) -> Gradients:
        """What a pullback answers."""
        return found

    def recur(
        self, cell: Cell, given: Tree, params: Tree = None, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Result:
        arguments = {"given": given, "params": params, "state": state, "lengths": lengths, "resets": resets}
        return self.ran(cell, given, super().recur(cell, **self.changed(cell, arguments)))

    def recur_pullback(
        self, cell: Cell, given: Tree, output_cotangent: Array, state_cotangent: Tree = None, params: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None,
    ) -> Gradients:
        arguments = {"given": given, "params": params, "state": state, "lengths": lengths, "resets": resets}
        found = super().recur_pullback(cell, output_cotangent=output_cotangent, state_cotangent=state_cotangent,
                                       **self.changed(cell, arguments))  # fmt: skip
        return self.pulled_through(cell, given, found)


class OfOneShapeExchanged(_Called):
    """Two given arrays of one shape are exchanged."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        given = dict(arguments["given"])
        for name, a in given.items():
            like = [other for other, b in given.items() if other > name and np.shape(b) == np.shape(a)]
            if like:
                return {**arguments, "given": {**given, name: given[like[0]], like[0]: a}}
        return arguments


class FeaturesChosenByAProduct(_Called):
    """The given arrays go through a product with the identity, which spreads NaN."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "given": _through_the_identity(arguments["given"])}


class LengthsLeftOut(_Called):
    """A call with given arrays ignores its lengths."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "lengths": None}


class ResetsLeftOut(_Called):
    """A call with given arrays ignores its resets."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "resets": None}


class StateLeftOut(_Called):
    """A call with given arrays begins with zeros, whatever its initial state is."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "state": None}


class HeadsOfAVectorExchanged(_Called):
    """The learned vectors of a call with given arrays are those of another head."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        params = arguments["params"] or {}
        p = {name: np.roll(a, 1, 0) if np.ndim(a) > cell.ranks[f"p.{name}"] else a
             for name, a in params.get("p", {}).items()}  # fmt: skip
        return {**arguments, "params": {**params, "p": p}} if params else arguments


class UnknownArraysIgnored(_Called):
    """A given array that the equations do not have is ignored."""

    def changed(self, cell: Cell, arguments: dict[str, Any]) -> dict[str, Any]:
        names = {*cell.graph.names("input"), "x"}
        given = arguments["given"]
        kept = {name: a for name, a in given.items() if name in names} if isinstance(given, dict) else given
        return {**arguments, "given": kept}


class FinalStateCotangentLeftOut(_Called):
    """The cotangent of the final state has no effect in a pullback to given arrays."""

    def recur_pullback(
        self, cell: Cell, given: Tree, output_cotangent: Array, state_cotangent: Tree = None, params: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None,
    ) -> Gradients:
        return super().recur_pullback(cell, given, output_cotangent, None, params, state, lengths, resets)


class InitialStateLearnsNothing(_Called):
    """The gradient of the initial state is zeros where the x.name are given."""

    def pulled_through(self, cell: Cell, given: Tree, found: Gradients) -> Gradients:
        return replace(found, state=tree_map(np.zeros_like, found.state))


class TheLastArrayLearnsNothing(_Called):
    """The gradient of the last of the given arrays is zeros."""

    def pulled_through(self, cell: Cell, given: Tree, found: Gradients) -> Gradients:
        last = max(found.inputs)
        return replace(found, inputs={**found.inputs, last: np.zeros_like(found.inputs[last])})


class SharedArraysLearnTheMean(_Called):
    """The gradient of a given array that heads share is the mean over heads, where it must be the sum."""

    def pulled_through(self, cell: Cell, given: Tree, found: Gradients) -> Gradients:
        heads = [a.shape[2] for a in given.values() if np.ndim(a) == 4]
        inputs = {name: g / heads[0] if heads and g.ndim == 3 else g for name, g in found.inputs.items()}
        return replace(found, inputs={name: g.astype(found.inputs[name].dtype) for name, g in inputs.items()})


class OutputsOfHeadsTurned(_Called):
    """The heads of the outputs stand in the opposite order where the x.name are given."""

    def ran(self, cell: Cell, given: Tree, found: Result) -> Result:
        return replace(found, outputs=found.outputs[:, :, ::-1]) if found.outputs.ndim == 4 else found


def _through_the_identity(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    with np.errstate(all="ignore"):
        return {name: a @ np.eye(a.shape[-1], dtype=a.dtype) if np.ndim(a) else a for name, a in given.items()}
