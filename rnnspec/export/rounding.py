"""Weights in 8 bits: each row of a matrix has a scale, and vectors stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.capabilities import Capabilities
from rnnspec.embedding import Embedding
from rnnspec.export.exported import Difference
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.running.beginning import LEARNED
from rnnspec.tree import Tree, named_map

__all__ = ["error_of_rounding", "in_8_bits", "is_matrix", "rounded"]

STEPS, ROWS = 64, 16
LARGEST = 127
"""The largest whole number of 8 bits whose negative is one too."""

Array = Any


def is_matrix(name: str, a: Array) -> bool:
    """Whether a parameter is one that 8 bits hold: a matrix, or one for each head, and no learned state."""
    return bool(a.ndim > 1) and f".{LEARNED}." not in name


def in_8_bits(a: Array) -> tuple[Array, Array]:
    """Whole numbers from -127 to 127, and the scale of each row, in float32: their product is about the matrix."""
    largest = np.abs(a).max(-1, keepdims=True, initial=0.0)
    scale = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    whole = np.clip(np.rint(a / scale), -LARGEST, LARGEST).astype(np.int8)
    return whole, scale


def rounded(params: Tree) -> Tree:
    """The parameters that an export with 8-bit weights has, as float64."""

    def one(name: str, a: Array) -> Array:
        if not is_matrix(name, a):
            return np.asarray(a, np.float64)
        whole, scale = in_8_bits(np.asarray(a, np.float64))
        return whole.astype(np.float64) * scale

    return named_map(one, params)


class _Numpy(Backend):
    """The lowered declaration on NumPy arrays."""

    capabilities = Capabilities(embedding=True)


def error_of_rounding(net: Network, params: Tree) -> Difference:
    """What 8-bit weights change in the outputs, in float64 over drawn inputs.

    The inputs are 16 rows of 64 steps of numbers of the normal distribution, or of class numbers.
    """
    rng = np.random.default_rng(0)
    if isinstance(net.inputs, Embedding):
        inputs: Array = rng.integers(net.inputs.classes, size=(STEPS, ROWS))
    else:
        inputs = rng.normal(size=(STEPS, ROWS, net.inputs))
    backend = _Numpy(None, "f64")
    right, found = (backend.run(net, own, inputs).outputs for own in (params, rounded(params)))
    return Difference(float(np.abs(right - found).max()), float(np.abs(right).max()))
