"""mambapy: the selective system of a block, by steps. Its projections get the biases that the cell has and it lacks."""

from __future__ import annotations

from typing import Any

import torch
from mambapy.mamba import MambaBlock, MambaConfig
from maps import Maps, adapted, stacked
from torch import Tensor, nn
from torch.func import functional_call

from rnnspec import cells

State = Any


class Steps(nn.Module):
    """The steps of a block's selective system, one after the other."""

    def __init__(self, features: int, states: int) -> None:
        super().__init__()
        self.block = MambaBlock(MambaConfig(features, 1, dt_rank=features, d_state=states, expand_factor=1))
        self.block.x_proj = nn.Linear(features, features + 2 * states)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        outputs = []
        for row in x:
            output, state = self.block.ssm_step(row, state)
            outputs.append(output)
        return torch.stack(outputs), state


@adapted(cells.mamba)
def mambapy(maps: Maps, x: Tensor, state: State) -> Any:
    features, states = x.shape[-1], len(maps["b.B"])
    module = Steps(features, states).to(x.dtype)
    eye, zeros = torch.eye(features, dtype=x.dtype), x.new_zeros(features)
    tensors = {"block.A_log": maps["p.A"], "block.D": maps["p.D"], "block.dt_proj.weight": eye,
               "block.dt_proj.bias": maps["b.dt"], "block.x_proj.weight": stacked(maps, "W.dt W.B W.C"),
               "block.x_proj.bias": torch.cat((zeros, maps["b.B"], maps["b.C"]))}  # fmt: skip
    outputs, final = functional_call(module, tensors, (x, state and state[0]))
    return outputs, (final,)
