"""Layers that are called as those of torch.nn are, with tensors of their own names: torch.ao and torchrecurrent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchrecurrent
from maps import Maps, adapted, stacked
from torch import Tensor, nn
from torch.ao.nn import quantizable
from torch.func import functional_call

from rnnspec import Cell, cells

State = Any


def layer(cell: Cell, make: Callable[..., nn.Module], width: str, **tensors: str) -> Any:
    """A factory of a layer whose tensors, here with _ for a dot, stack maps of the cell; those of no map are zeros."""
    def run(maps: Maps, x: Tensor, state: State) -> Any:
        module = make(x.shape[-1], len(maps[width])).to(x.dtype)
        given = {name: torch.zeros_like(a) for name, a in module.named_parameters()}
        for name, a in given.items():
            names = next(names for end, names in tensors.items() if name.replace(".", "_").endswith(end))
            given[name] = stacked(maps, names).reshape(a.shape) if names else a
        begun = state and tuple(a[None] for a in state)
        args = () if begun is None else (begun if len(begun) > 1 else begun[0],)
        outputs, final = functional_call(module, given, (x, *args))
        return outputs, tuple(a[0] for a in (final if isinstance(final, tuple) else (final,)))

    return adapted(cell)(run)


def kinds(gates: str) -> dict[str, str]:
    """The maps of the input, the recurrent maps and the biases of some gates, by W, U and b."""
    return {kind: " ".join(f"{kind}.{gate}" for gate in gates.split()) for kind in "WUb"}


lstm = kinds("i f g o")
quantizable_lstm = layer(cells.lstm, quantizable.LSTM, "b.i", igates_weight=lstm["W"], igates_bias=lstm["b"],
                         hgates_weight=lstm["U"], hgates_bias="")  # fmt: skip
lem = layer(cells.lem, torchrecurrent.LEM, "b.a", weight_ih="W.b W.a W.z W.y", bias_ih="b.b b.a b.z b.y",
            weight_hh="U.b U.a U.z", weight_ch="U.y", bias="", bias_hh="", bias_ch="")  # fmt: skip
GRNN = {"weight_ih": "U.w", "weight_hh": "U.u", "bias_ih": "p.z p.n", "bias_hh": "", "zeta": "p.zeta", "nu": "p.nu"}
fastgrnn = layer(cells.fastgrnn, torchrecurrent.FastGRNN, "p.z", **GRNN)
fastgrnn_sigmoid = layer(cells.fastgrnn, partial(torchrecurrent.FastGRNN, nonlinearity="sigmoid"), "p.z", **GRNN)
mgu = layer(cells.mgu, torchrecurrent.MGU, "b.f", weight_ih="W.f W.n", bias_ih="b.f b.n", weight_hh="U.f U.n",
            bias_hh="")  # fmt: skip
peephole = layer(cells.lstm_peephole, torchrecurrent.PeepholeLSTM, "b.i", weight_ih=lstm["W"], bias_ih=lstm["b"],
                 weight_hh=lstm["U"], weight_ph="p.i p.f p.o", bias_hh="")  # fmt: skip
