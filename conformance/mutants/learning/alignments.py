"""Faults with CTC: its recursion, its labels, its blank, and what cannot be spelt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from conformance.mutants.learning import misalignments
from rnnspec import Step
from rnnspec.contract.arrays import Array
from rnnspec.losses import CTC
from rnnspec.tree import Tree, tree_map


class _Misaligned(Faulty):
    """Puts a faulty loss in the place of CTC."""

    instead: type[CTC] = CTC

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        if isinstance(net.loss, CTC):
            net = replace(net, loss=self.instead(net.loss.blank))
        return super().value_and_grad(net, *given, **named)


class BlanksAreNeverSkipped(_Misaligned):
    """CTC: between two unlike labels a blank must be said."""

    instead = misalignments.WithoutSkips


class LabelsAreSaidOnce(_Misaligned):
    """CTC: no label and no blank is said in two steps running."""

    instead = misalignments.WithoutStays


class BestSpellingOnly(_Misaligned):
    """CTC: only the best way into each place counts, not the sum of all ways."""

    instead = misalignments.BestOnly


class EqualWaysCountOnce(_Misaligned):
    """CTC: of two ways into a place, the less probable one counts half."""

    instead = misalignments.HalfSummed


class WithoutSoftmax(_Misaligned):
    """CTC: the outputs are taken for logarithms of probabilities."""

    instead = misalignments.WithoutSoftmax


class _Relabelled(Faulty):
    """Gives CTC other labels, lengths or a blank than it was asked."""

    def labels(self, labels: Array, lengths: Array, blank: int) -> Array:
        """The labels that are taken."""
        return labels

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        if isinstance(net.loss, CTC):
            ends = np.full(inputs.shape[1], inputs.shape[0]) if lengths is None else np.asarray(lengths)
            targets = self.labels(np.array(targets), ends, net.loss.blank)
        return super().value_and_grad(net, params, inputs, targets, state, lengths, resets)


class LastLabelIsLost(_Relabelled):
    """CTC: a row's third label is not read."""

    def labels(self, labels: Array, lengths: Array, blank: int) -> Array:
        labels[:, 2:] = -1
        return labels


class RepeatsAreOne(_Relabelled):
    """CTC: a label that stands twice running is taken for one."""

    def labels(self, labels: Array, lengths: Array, blank: int) -> Array:
        for row in labels:
            kept = [c for i, c in enumerate(row) if c != -1 and (i == 0 or c != row[i - 1])]
            row[:] = [*kept, *[-1] * (len(row) - len(kept))]
        return labels


class LabelsBackwards(_Relabelled):
    """CTC: a row's labels are read from the last to the first."""

    def labels(self, labels: Array, lengths: Array, blank: int) -> Array:
        for row in labels:
            kept = row[row != -1][::-1]
            row[: len(kept)] = kept
        return labels


class ImpossibleRowsAreDropped(_Relabelled):
    """CTC: a row that its steps cannot spell is taken for one without labels."""

    def labels(self, labels: Array, lengths: Array, blank: int) -> Array:
        needed = (labels != -1).sum(1) + ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != -1)).sum(1)
        labels[needed > lengths] = -1
        return labels


class BlankIsTheFirstClass(Faulty):
    """CTC: the blank is class 0, whatever is declared."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        if isinstance(net.loss, CTC) and net.loss.blank and not (np.asarray(targets) == 0).any():
            net = replace(net, loss=CTC(0))
        return super().value_and_grad(net, params, inputs, targets, state, lengths, resets)


class MiddleBlankIsTheLast(Faulty):
    """CTC: a blank between the classes is taken for the last class, where no label is that."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        last = net.features - 1
        if _is_between(net) and not (np.asarray(targets) == last).any():
            net = replace(net, loss=CTC(last))
        return super().value_and_grad(net, params, inputs, targets, state, lengths, resets)


class ClassesBehindTheBlankTurned(Faulty):
    """CTC: where a blank stands between the classes, those behind it are read in the other order."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        if _is_between(net):
            y, blank = np.asarray(targets), net.loss.blank
            targets = np.where(y > blank, net.features + blank - y, y)
        return super().value_and_grad(net, params, inputs, targets, state, lengths, resets)


class LossIsOfRowsWithSteps(Faulty):
    """CTC: rows without a step are not counted."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if not isinstance(net.loss, CTC) or lengths is None:
            return step
        return replace(step, count=int((np.asarray(lengths) > 0).sum()))


class ImpossibleIsNaN(Faulty):
    """CTC: the gradients of a batch are NaN where a row cannot be spelt."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        if not isinstance(net.loss, CTC) or np.isfinite(step.loss_sum):
            return step
        return replace(step, grads=replace(step.grads, params=tree_map(lambda g: g * np.nan, step.grads.params)))


class ThreeLabelsOfARow(Faulty):
    """CTC: labels behind the third are not read."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, *rest: Any, **named: Any) -> Step:
        read = np.where(np.arange(np.shape(targets)[1]) < 3, targets, -1) if isinstance(net.loss, CTC) else targets
        return super().value_and_grad(net, params, inputs, read, *rest, **named)


class ProbabilitiesUnderflow(Faulty):
    """CTC: products of probabilities, not sums of logarithms, are nothing after 64 steps."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, *rest: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, params, inputs, *rest, **named)
        gone = isinstance(net.loss, CTC) and len(inputs) > 64
        return replace(step, loss_sum=step.loss_sum + np.inf) if gone else step


def _is_between(net: Any) -> bool:
    return isinstance(net.loss, CTC) and 0 < net.loss.blank < net.features - 1
