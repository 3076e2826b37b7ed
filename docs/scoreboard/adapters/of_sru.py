"""sru: a layer with as many units as inputs and without its scale of the input. Its import compiles a kernel in C++."""

from __future__ import annotations

from typing import Any

import torch
from maps import Maps, adapted, stacked
from sru import SRUCell
from torch import Tensor
from torch.func import functional_call

from rnnspec import cells


@adapted(cells.sru)
def sru(maps: Maps, x: Tensor, state: Any) -> Any:
    cell = SRUCell(x.shape[-1], x.shape[-1], rescale=False).to(x.dtype)
    weight = torch.stack((maps["U.c"].mT, maps["W.f"].mT, maps["W.r"].mT), -1).flatten(1)
    tensors = {"weight": weight, "weight_c": stacked(maps, "p.f p.r"), "bias": stacked(maps, "b.f b.r")}
    outputs, final = functional_call(cell, tensors, (x, state and state[0]))
    return outputs, (final,)
