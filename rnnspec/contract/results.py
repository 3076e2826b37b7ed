"""The results of a backend's calls: of a layer, a run, a pullback, a loss and a training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree

__all__ = ["Gradients", "LayerResult", "Result", "Step", "Trained"]


@dataclass(frozen=True)
class LayerResult:
    """The result of one layer in one direction, in processing order.

    `path` names what ran. `saved` holds what the backend needs for the pullback.
    """

    outputs: Array
    state: dict[str, Array]
    path: str
    saved: Any = None


@dataclass(frozen=True)
class Result:
    """Outputs, the final state, and what ran: a pair `("layers.0.forward", "...")` for each layer and direction.

    `outputs` is (time, batch, feature), with `Last()` (batch, feature); `state[0]["forward"]["h"]` is (batch, width).
    Of `Backend.recur`, `state["h"]` is (batch, width), and outputs of heads are (time, batch, heads, width).
    """

    outputs: Array
    state: Tree
    path: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Gradients:
    """The vector-Jacobian product: cotangents of the parameters, the inputs and the initial state.

    `inputs` are None where the inputs are class numbers.

    Of `Backend.recur_pullback`, `inputs` are by name, as `given` is.
    """

    params: Tree
    inputs: Array
    state: Tree


@dataclass(frozen=True)
class Step:
    """The loss as a sum and a count, the gradients of the sum, and the final state."""

    loss_sum: Array
    count: int
    grads: Gradients
    state: Tree


@dataclass(frozen=True)
class Trained:
    """Parameters and rule state after one step, the loss before it, and the final state."""

    params: Tree
    rule_state: Tree
    loss_sum: Array
    count: int
    state: Tree
