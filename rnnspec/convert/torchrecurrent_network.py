"""A network of torchrecurrent's layers that is called with inputs and a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["HardSigmoid", "TorchrecurrentNetwork"]


class HardSigmoid(nn.Module):  # type: ignore[misc]  # torch is not read by the type checker
    """The hard sigmoid of slope 0.2, as Theano and Keras had it; that of torch has the slope 1/6."""

    def forward(self, a: Tensor) -> Tensor:
        """0.2 a + 0.5, between 0 and 1."""
        return torch.clamp(0.2 * a + 0.5, 0, 1)


class TorchrecurrentNetwork(nn.Module):  # type: ignore[misc]  # torch is not read by the type checker
    """A module made of `layers`, each a layer of torchrecurrent, and `output`, a torch.nn.Linear or None.

    `network` is the network that was converted; `states` are the names of each layer's states in torchrecurrent's
    order.
    """

    def __init__(
        self, network: Network, states: Sequence[tuple[str, ...]], layers: Sequence[nn.Module],
        output: nn.Linear | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.states, self.layers, self.output = network, tuple(states), nn.ModuleList(layers), output

    def forward(self, inputs: Tensor, state: Tree = None) -> tuple[Tensor, Tree]:
        """Outputs and final state for inputs (time, batch, feature) of at least one step; `state` as in `Backend.run`.

        All rows have all steps: torchrecurrent has no lengths.
        """
        values, final = inputs, list[Tree]()
        for i, (module, names) in enumerate(zip(self.layers, self.states, strict=True)):
            values, ended = _run(module, names, values, None if state is None else state[i]["forward"])
            final.append({"forward": ended})
        values = values[-1] if isinstance(self.network.read, Last) else values
        return values if self.output is None else self.output(values), final


def _run(module: Any, names: tuple[str, ...], values: Tensor, state: Tree) -> tuple[Tensor, Tree]:
    """One layer; a cell of one state where torchrecurrent has two has it twice."""
    double = module.cells[0].uses_double_state()
    given = None if state is None else [state[name][None] for name in names] * (2 if double and len(names) == 1 else 1)
    values, end = module(values, given if given is None else tuple(given) if double else given[0])
    ended = [tensor[0] for tensor in end] if double else [end[0]]
    return values, dict(zip(names, ended, strict=False))
