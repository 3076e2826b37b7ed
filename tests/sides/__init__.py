"""The sides of conversions as the law needs them, one module each, which imports its framework.

    TABLE, PRECISION, SIZES, BUILT_SIZES        what it has, and what can be asked of it
    writable(row), buildable(row), options(row) strategies: networks that it can be made of, and how
    write, read                                 the two functions of rnnspec.convert
    ask(model, question)                        what a model that was written computes, by its own means
    built(case, row, options)                   parts made by the side's own constructors, drawn numbers in them
    ask_built(parts, question, row, options)    what those compute, by the side's own means and none of ours
    options_of(kind), part(kind, options)       what a kind of part can be made with, and one as it is read
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import pytest

NAMES = {"torch.nn": "torch", "Keras": "keras", "Flax nnx": "flax", "ONNX": "onnx", "torchrecurrent": "torchrecurrent"}
"""The sides as the tables name them, with the framework that each needs."""
BOTH_WAYS = ("torch.nn", "Keras", "Flax nnx", "ONNX")
"""The sides that have both directions, and rows of any length."""


@dataclass(frozen=True)
class Options:
    """How parts are made that the tables' rows leave open."""

    bias: bool = True
    batch_first: bool = False


def opened(name):
    """A side's module; the test is skipped where its framework is not installed."""
    framework = NAMES[name]
    pytest.importorskip(framework)
    return import_module(f"sides.{framework}_side")
