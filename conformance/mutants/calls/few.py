"""Faults of backends that declare three cells: what they do with sizes, stacks, losses and policies counts too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.control import policies
from conformance.mutants.faulty import Asked, Faulty
from conformance.mutants.ranges import blocks, extents
from rnnspec import Backend, LayerResult, Step, cells
from rnnspec.losses import SigmoidCrossEntropy


class _Few(Faulty):
    capabilities = replace(Backend.capabilities, cells=(cells.lstm, cells.gru, cells.elman))


class UnitsBeyond64Lost(_Few):
    """Units beyond the 64th are not computed."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        own = np.arange(result.outputs.shape[2]) < 64
        return replace(result, outputs=np.where(own, result.outputs, result.outputs.dtype.type(0)))


class StepBeyond128Lost(_Few, extents.StepBeyond128Lost):
    """With three declared cells, the step at which the second block of 128 begins reads zeros."""


class InputsBeyond128Lost(_Few, extents.InputsBeyond128Lost):
    """With three declared cells, input features beyond the 128th are not read."""


class WidthsOf64InHalfPrecision(_Few, blocks.WidthsOf64InHalfPrecision):
    """With three declared cells, recurrent maps are rounded to 11 bits where the width is a multiple of 64."""


class SigmoidLossIsDoubled(_Few):
    """With three declared cells, a sigmoid's loss is doubled."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, loss_sum=2 * step.loss_sum) if isinstance(net.loss, SigmoidCrossEntropy) else step


class StatesHeldByNorm(_Few, policies.StatesHeldByNorm):
    """With three declared cells, entries are held by their norm."""


class EveryStateIsCut(_Few, policies.EveryStateIsCut):
    """With three declared cells, where one state is cut, all are."""


class JointNormsTakenApart(_Few, policies.JointNormsTakenApart):
    """With three declared cells, a norm over several states is taken of each."""
