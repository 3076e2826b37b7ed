"""A network of torch.nn modules that is called with the arguments of `Backend.run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["TorchNetwork"]


class TorchNetwork(nn.Module):  # type: ignore[misc]  # torch is not read by the type checker
    """A module made of torch.nn modules only: `layers`, each an RNN, LSTM or GRU, and `output`, a Linear or None.

    `embedding` is the Embedding of class numbers, or None; a tied output has its weight. Adjacent layers of one cell,
    width and direction are one module. `network` is the network that was converted; `states` are the names of each
    layer's states in torch's order.
    """

    def __init__(
        self, network: Network, states: Sequence[tuple[str, ...]], layers: Sequence[nn.RNNBase],
        output: nn.Linear | None, embedding: nn.Embedding | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.network, self.states, self.layers, self.output = network, tuple(states), nn.ModuleList(layers), output

    def forward(self, inputs: Tensor, state: Tree = None, lengths: Tensor | None = None) -> tuple[Tensor, Tree]:
        """Outputs and final state for inputs (time, batch, feature), or class numbers; the rest as in `Backend.run`."""
        steps, batch = inputs.shape[:2]
        ends = torch.full((batch,), steps) if lengths is None else lengths.long()
        real = (torch.arange(steps, device=inputs.device)[:, None] < ends.to(inputs.device))[..., None]
        if self.embedding is not None:  # a class number at a padded step may be any
            inputs = self.embedding(torch.where(real[..., 0], inputs, 0))
        values, final = torch.where(real, inputs, 0.0), list[Tree]()
        first = self._zeros(batch, inputs) if state is None else state
        for module in self.layers:
            own = slice(len(final), len(final) + module.num_layers)
            values, ended = self._layer(module, own, first[own], values, ends)
            values, final = torch.where(real, values, 0.0), final + ended
        if isinstance(self.network.read, Last):
            real = (ends > 0)[:, None].to(inputs.device)
            last = [final[-1][half][self.states[-1][0]] for half in self.network.layers[-1].halves]
            values = torch.where(real, torch.cat(last, -1), 0.0)
        if self.output is not None:
            values = torch.where(real, self.output(values), 0.0)
        return values, final

    def _layer(
        self, module: Any, own: slice, first: Sequence[Tree], values: Tensor, ends: Tensor
    ) -> tuple[Tensor, list[Tree]]:
        halves = [(i, half) for i, layer in enumerate(self.network.layers[own]) for half in layer.halves]
        if not values.shape[0] * values.shape[1]:  # torch cannot pack an empty sequence
            return values.new_zeros((*values.shape[:2], self.network.layers[own.start].width)), list(first)
        names = self.states[own.start]
        given = [torch.stack([first[i][half][name] for i, half in halves]) for name in names]
        # torch cannot pack rows of length 0: such a row runs one step, and its results are discarded.
        packed = pack_padded_sequence(values, ends.cpu().clamp(min=1), enforce_sorted=False)
        out, end = module(packed, tuple(given) if len(given) > 1 else given[0])
        ended = end if len(given) > 1 else (end,)
        real = (ends > 0)[:, None].to(values.device)
        kept = {name: torch.where(real, a, b) for name, a, b in zip(names, ended, given, strict=True)}
        final: list[Tree] = [{} for _ in first]
        for k, (i, half) in enumerate(halves):
            final[i][half] = {name: stacked[k] for name, stacked in kept.items()}
        return pad_packed_sequence(out, total_length=len(values))[0], final

    def _zeros(self, batch: int, like: Tensor) -> Tree:
        return [{half: {name: like.new_zeros(shape) for name, shape in shapes.items()} for half, shapes in tree.items()}
                for tree in self.network.state_shapes(batch)]  # fmt: skip
