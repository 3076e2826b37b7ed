"""minGRU and minLSTM: minGRU-pytorch and mingru-scans, batch first, without biases or with. A module gives the states
of all steps, of which the last is the final state.
"""

from __future__ import annotations

from typing import Any

import torch
from maps import Maps, adapted, stacked
from mingru import MinGRU
from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM
from torch import Tensor, nn
from torch.func import functional_call

from rnnspec import cells
from rnnspec.primitives import sigmoid, where
from rnnspec.tracing.cell import cell

State = Any


@cell
def minlstm_log(x, h):
    """Feng et al. (2024), appendix B.3, the log-space version of minLSTM: the new value is positive."""
    f, i = sigmoid(x.f), sigmoid(x.i)
    n = where(x.h >= 0, x.h + 0.5, sigmoid(x.h))
    return f / (f + i) * h + i / (f + i) * n


def biased(module: nn.Module, name: str, inputs: int, names: int) -> nn.Module:
    """The module with a bias in one of its linear maps, which it leaves out."""
    setattr(module, name, nn.Linear(inputs, names))
    return module


def ran(module: nn.Module, tensors: dict[str, Tensor], x: Tensor, state: State) -> Any:
    begun = None if state is None else state[0][:, None]
    outputs = functional_call(module, tensors, (x.swapaxes(0, 1), begun)).swapaxes(0, 1)
    return outputs, (outputs[-1],)


@adapted(cells.mingru_log)
def lucidrains_gru(maps: Maps, x: Tensor, state: State) -> Any:
    width = len(maps["b.h"])
    module = biased(minGRU(x.shape[-1], width / x.shape[-1], False), "to_hidden_and_gate", x.shape[-1], 2 * width)
    tensors = {f"to_hidden_and_gate.{kind}": stacked(maps, f"{of}.h {of}.z") for kind, of in
               (("weight", "W"), ("bias", "b"))}  # fmt: skip
    module.to_out = nn.Identity()
    return ran(module, tensors, x, state)


@adapted(minlstm_log)
def lucidrains_lstm(maps: Maps, x: Tensor, state: State) -> Any:
    width = len(maps["b.h"])
    module = biased(minLSTM(x.shape[-1], 1, False), "to_hidden_and_f_i_gate", x.shape[-1], 3 * width)
    tensors = {f"to_hidden_and_f_i_gate.{kind}": stacked(maps, f"{of}.h {of}.f {of}.i") for kind, of in
               (("weight", "W"), ("bias", "b"))}  # fmt: skip
    module.to_out = nn.Identity()
    return ran(module, tensors, x, state)


@adapted(cells.mingru_log)
def scans(maps: Maps, x: Tensor, state: State) -> Any:
    """It starts from 0.5, and says so; the zeros of the cell are given."""
    module = MinGRU(x.shape[-1], len(maps["b.h"]))
    tensors = {"linear_z.weight": maps["W.z"], "linear_z.bias": maps["b.z"], "linear_h.weight": maps["W.h"],
               "linear_h.bias": maps["b.h"]}  # fmt: skip
    begun = state or (torch.zeros(x.shape[1], len(maps["b.h"]), dtype=x.dtype),)
    return ran(module, tensors, x, begun)
