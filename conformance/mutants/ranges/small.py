"""Faults with small numbers: what is far above the smallest normal number of a precision is flushed to zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients, LayerResult
from rnnspec.tree import tree_map

LEAST = {"f16": 0.0, "bf16": 1e-30, "f32": 1e-30, "f64": 1e-290}
"""What is smaller is flushed."""


class _Flushing(Faulty):
    def flushed(self, a: Any) -> Any:
        """An array without its small numbers."""
        return np.where(np.abs(a) < LEAST[self.precision], a.dtype.type(0), a)


class InputsAreFlushed(_Flushing):
    """Inputs below 1e-30, or 1e-290 in float64, are zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=self.flushed(asked.inputs))


class StatesAreFlushed(_Flushing):
    """Initial states below 1e-30, or 1e-290 in float64, are zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(self.flushed, asked.state))


class ParametersAreFlushed(_Flushing):
    """Parameters below 1e-30, or 1e-290 in float64, are zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, params=tree_map(self.flushed, asked.params))


class OutputsAreFlushed(_Flushing):
    """Outputs below 1e-30, or 1e-290 in float64, are zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=self.flushed(result.outputs))


class OutputCotangentsAreFlushed(_Flushing):
    """Cotangents of outputs below 1e-30, or 1e-290 in float64, are zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, output_cotangent=self.flushed(pulled.output_cotangent))


class StateCotangentsAreFlushed(_Flushing):
    """Cotangents of final states below 1e-30, or 1e-290 in float64, are zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, state_cotangent=tree_map(self.flushed, pulled.state_cotangent))


class GradientsAreFlushed(_Flushing):
    """Parameter gradients below 1e-30, or 1e-290 in float64, are zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=tree_map(self.flushed, gradients.params))


class DoublesAreFlushed(OutputCotangentsAreFlushed):
    """In float64, cotangents below 1e-290 are zeros."""

    only_precision = "f64"
