"""A cell by hand in PyTorch: a Python loop over its steps, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.speed.peers.by_hand import ByHand, Functions, by_hand
from conformance.speed.peers.torch_arrays import placed, wait
from conformance.speed.row import INPUTS, Row

__all__ = ["FUNCTIONS", "make", "prepared"]

FUNCTIONS = Functions(torch.tanh, torch.sigmoid, torch.maximum, torch.where, lambda a, count: a.chunk(count, -1))


def make(row: Row) -> Callable[[int], None]:
    """The plain loop."""
    return prepared(row, by_hand(row).step)


def prepared(row: Row, step: Callable[..., Any]) -> Callable[[int], None]:
    """The layer's call, with a step: outputs and final states, or the gradients of its parameters and inputs."""
    own = by_hand(row)
    training = row.mode == "train"
    weights = {name: placed(row, a).requires_grad_(training) for name, a in own.weights.items()}
    inputs = [placed(row, x).requires_grad_(training) for x in row.inputs()]
    cotangent = placed(row, row.cotangent(row.network.features))

    def forward(count: int) -> None:
        with torch.no_grad():
            found = _layer(own, step, weights, inputs[count % INPUTS])
        wait(found)

    def train(count: int) -> None:
        x = inputs[count % INPUTS]
        wait(torch.autograd.grad(_layer(own, step, weights, x)[0], [x, *weights.values()], cotangent))

    return {"forward": forward, "train": train}[row.mode]


def _layer(own: ByHand, step: Callable[..., Any], weights: dict[str, Any], x: Any) -> tuple[Any, Any, Any]:
    mapped = x @ weights["W"] + weights["b"]
    one, other = (x.new_zeros(x.shape[1], width) for width in own.states)
    outputs = []
    for now in mapped:
        y, one, other = step(FUNCTIONS, now, weights, one, other)
        outputs.append(y)
    return torch.stack(outputs), one, other
