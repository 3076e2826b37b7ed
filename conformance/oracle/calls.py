"""The oracle's answers, shaped as a backend's: the same trees, every array with a leading axis of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.oracle.arithmetic import EXACT, Arithmetic
from rnnspec.backend import Gradients, Result, Step, Trained
from rnnspec.network import Network
from rnnspec.rule import Rule
from rnnspec.tree import Tree

__all__ = ["pullback", "run", "train", "value_and_grad"]

Array = Any
Batch = tuple[Array, Array, Tree, Array]
"""Inputs, targets, state or None, lengths or None."""


def run(
    net: Network, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None, arithmetic: Arithmetic = EXACT
) -> Result:
    """Outputs and final state, as `Backend.run`: `(runs, time, batch, features)` and so on; `path` is empty."""
    raise NotImplementedError


def pullback(
    net: Network, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
    state: Tree = None, lengths: Array = None, arithmetic: Arithmetic = EXACT,
) -> Gradients:
    """The vector-Jacobian product, as `Backend.pullback`."""
    raise NotImplementedError


def value_and_grad(
    net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
    arithmetic: Arithmetic = EXACT,
) -> Step:
    """The loss as `(sum, count)`, the gradients of the sum and the final state, as `Backend.value_and_grad`."""
    raise NotImplementedError


def train(
    net: Network, rule: Rule, params: Tree, batches: Sequence[Batch], arithmetic: Arithmetic = EXACT,
    rule_state: Tree = None,
) -> list[Trained]:
    """One training step for each batch, as `Backend.train_step` one after the other; all of their results.

    `rule_state` is `rule.init(params)` if None. A batch is `(inputs, targets, state, lengths)`, the last two or None.
    """
    raise NotImplementedError
