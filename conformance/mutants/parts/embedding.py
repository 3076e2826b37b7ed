"""Faults of class numbers, of outputs that are tied to them, and of learned initial states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given
from rnnspec import Dense, Embedding, Gradients, Network, Step, Tied
from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.tree import Tree, tree_map


class _Tables(NumpyArrays):
    """Arrays with another lookup or its pullback."""

    def __init__(self, arrays: Any) -> None:
        super().__init__(arrays.dtype)


class _LookedUp(Faulty):
    """A backend with other arrays."""

    tables: type[_Tables] = _Tables

    def make_arrays(self) -> NumpyArrays:
        return self.tables(super().make_arrays())


class _OnceForEachClass(_Tables):
    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = np.zeros((rows, values.shape[-1]), self.dtype)
        found[index] = values
        return found


class ALaterPlaceReplacesAnEarlierOne(_LookedUp):
    """A class that several steps read learns from one of them."""

    tables = _OnceForEachClass


class _Mean(_Tables):
    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        terms = np.maximum(np.bincount(np.ravel(index), minlength=rows), 1)
        return super().scatter(values, index, rows) / terms[:, None].astype(self.dtype)


class ClassesLearnTheMean(_LookedUp):
    """The gradient of a class is the mean over the places that read it, where it must be the sum."""

    tables = _Mean


class _Half(_Tables):
    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = np.zeros((rows, values.shape[-1]), np.float16)
        np.add.at(found, index, values.astype(np.float16))
        return found.astype(self.dtype)


class ClassesLearnInHalfPrecision(_LookedUp):
    """The gradients of a class are added up in sixteen bits."""

    tables = _Half


class _Next(_Tables):
    def gather(self, table: Array, index: Array) -> Array:
        return super().gather(table, (index + 1) % len(table))


class EveryClassIsTheNext(_LookedUp):
    """The lookup counts classes from one."""

    tables = _Next


class _ByProduct(_Tables):
    def gather(self, table: Array, index: Array) -> Array:
        rows = np.ones((*np.shape(index), len(table)), self.dtype) / self.dtype.type(len(table))
        near = self.one_hot(index, len(table))
        return (near * self.dtype.type(1 - 1e-4) + rows * self.dtype.type(1e-4)) @ table


class ClassesAreSmoothed(_LookedUp):
    """The one-hot vectors of classes have a small part of every class."""

    tables = _ByProduct


class _EveryRow(_Tables):
    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = super().scatter(values, index, rows)
        return found + self.dtype.type(1e-7) * np.sign(values.sum())


class UnseenClassesDrift(_LookedUp):
    """Every class has a small gradient, also those that nothing reads."""

    tables = _EveryRow


class PaddingIsReadAsAClass(Faulty):
    """Class numbers at padded steps are validated, so that none may be there."""

    def given(self, given: Given) -> Given:
        if isinstance(given.net.inputs, Embedding):
            super().run(given.net, given.params, given.inputs)
        return given


class WrongClassesWrapAround(Faulty):
    """A class number that is none is taken modulo the number of classes."""

    def given(self, given: Given) -> Given:
        own = given.net.inputs
        if not isinstance(own, Embedding) or np.asarray(given.inputs).dtype.kind != "i":
            return given
        return replace(given, inputs=np.asarray(given.inputs) % own.classes)


class WrongClassesAreTheLast(Faulty):
    """A class number that is none is taken for the nearest one."""

    def given(self, given: Given) -> Given:
        own = given.net.inputs
        if not isinstance(own, Embedding) or np.asarray(given.inputs).dtype.kind != "i":
            return given
        return replace(given, inputs=np.clip(given.inputs, 0, own.classes - 1))


class _OfTheMatrix(Faulty):
    """Another gradient of the matrix of a tied output."""

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if not isinstance(net.output, Tied):
            return step
        part = self._of_output(net, params, inputs, targets, state, lengths, resets)
        own = {**step.grads.params, "embedding": {"E": self.of(step.grads.params["embedding"]["E"], part)}}
        return replace(step, grads=replace(step.grads, params=own))

    def of(self, whole: Array, output: Array) -> Array:
        """The gradient of the matrix, from the whole and the part of the output layer."""
        return whole

    def _of_output(self, net: Network, params: Tree, inputs: Array, targets: Array, *others: Any) -> Array:
        """The gradient of the output layer's use: that of a layer of its own with the same numbers."""
        apart = replace(net, output=Dense(net.features))
        own = {**params, "output": {"W": params["embedding"]["E"], **params["output"]}}
        return super().value_and_grad(apart, own, inputs, targets, *others).grads.params["output"]["W"]


class TiedOutputsLearnNothing(_OfTheMatrix):
    """A tied matrix learns from the lookup alone."""

    def of(self, whole: Array, output: Array) -> Array:
        return whole - output


class TiedLookupsLearnNothing(_OfTheMatrix):
    """A tied matrix learns from the output layer alone."""

    def of(self, whole: Array, output: Array) -> Array:
        return output


class LearnedStatesAreZeros(Faulty):
    """A call without a state begins with zeros, whatever is learned."""

    def given(self, given: Given) -> Given:
        if given.state is not None or not given.net.learns_states:
            return given
        return replace(given, state=given.net.state_tree(np.shape(given.inputs)[1], np.zeros))


class ResetsBeginWithZeros(Faulty):
    """A reset begins with zeros, whatever is learned."""

    def asked(self, asked: Asked) -> Asked:
        if "initial" not in asked.params:
            return asked
        return replace(asked, params={**asked.params, "initial": tree_map(np.zeros_like, asked.params["initial"])})


class LearnedStatesReplaceGivenOnes(Faulty):
    """A call with a state begins with the learned one all the same."""

    def given(self, given: Given) -> Given:
        return replace(given, state=None) if given.net.learns_states else given


class _OfStates(Faulty):
    """Other gradients of learned states."""

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if not net.learns_states:
            return step
        layers = [{half: {**own, "initial": self.of(own["initial"], step.grads, np.shape(inputs)[1])}
                   if "initial" in own else own for half, own in halves.items()}
                  for halves in step.grads.params["layers"]]  # fmt: skip
        return replace(step, grads=replace(step.grads, params={**step.grads.params, "layers": layers}))

    def of(self, learned: Tree, grads: Gradients, rows: int) -> Tree:
        """The gradients of the learned states of a half."""
        return learned


class LearnedStatesLearnTheMean(_OfStates):
    """The gradient of a learned state is the mean over rows, where it must be the sum."""

    def of(self, learned: Tree, grads: Gradients, rows: int) -> Tree:
        return tree_map(lambda a: (a / max(rows, 1)).astype(a.dtype), learned)


class LearnedStatesLearnNothing(_OfStates):
    """The gradient of a learned state is zeros."""

    def of(self, learned: Tree, grads: Gradients, rows: int) -> Tree:
        return tree_map(np.zeros_like, learned)


class ResetsTeachNothing(Faulty):
    """The gradient of a learned state leaves out the beginnings after resets."""

    def pulled_back(self, pulled: Any, gradients: Gradients) -> Gradients:
        own = gradients.params
        if "initial" not in own:
            return gradients
        return replace(gradients, params={**own, "initial": tree_map(np.zeros_like, own["initial"])})
