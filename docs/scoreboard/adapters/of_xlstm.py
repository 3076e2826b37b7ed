"""xlstm: the sLSTM of its backend `vanilla` with one head, and the mLSTM's functions for one head.

The mLSTM multiplies by the output gate outside of the functions, as here. Its code adds 1e-6 to what divides, and so
does the cell that it is judged as. The inputs of a head are as wide as its values.
"""

from __future__ import annotations

from typing import Any

import torch
from maps import Maps, adapted, mapped, stacked
from torch import Tensor
from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple
from xlstm.blocks.slstm.src.vanilla import slstm_forward, slstm_pointwise_function_registry

from rnnspec import cells
from rnnspec.primitives import exp, maximum, number, outer, sigmoid, softplus, sqrt, total, width
from rnnspec.tracing.cell import cell, out

State = Any


@adapted(cells.slstm)
def slstm(maps: Maps, x: Tensor, state: State) -> Any:
    raw = torch.cat([x @ maps[f"W.{gate}"].mT for gate in "ifzo"], -1)
    begun = torch.stack(state) if state else x.new_zeros(4, x.shape[1], len(maps["b.i"]))
    recurrent, bias = stacked(maps, "U.i U.f U.z U.o")[None], stacked(maps, "b.i b.f b.z b.o")
    states, final, _ = slstm_forward(raw, begun, recurrent, bias, slstm_pointwise_function_registry["slstm"])
    return states[0, 1:], tuple(final)


@cell
def mlstm_code(x, C, n, m, *, epsilon=1e-6):
    """`cells.mlstm` with the small number of the authors' code, and keys for the rows of the state."""
    k = x.k / sqrt(width(x.k))
    i, f = number(x.i), number(m) - softplus(-number(x.f))
    m = maximum(f, i)
    f, i = exp(f - m), exp(i - m)
    C = f * C + i * outer(k, x.v)
    n = f * n + i * k
    read = total(n * x.q)
    return out(sigmoid(x.o) * ((x.q @ C) / (maximum(maximum(read, -read), exp(-m)) + epsilon))), C, n, m


@adapted(mlstm_code)
def mlstm(maps: Maps, x: Tensor, state: State) -> Any:
    q, k, v, o = (mapped(maps, x, name) for name in "qkvo")
    i, f = (mapped(maps, x, name)[:, :, None] for name in "if")
    C, n, m = state or (x.new_zeros(x.shape[1], k.shape[-1], v.shape[-1]), x.new_zeros(x.shape[1], k.shape[-1]),
                        x.new_zeros(x.shape[1], 1))  # fmt: skip
    C, n, m, outputs = C[:, None], n[:, None, :, None], m[:, None, :, None], []
    for t in range(len(x)):
        row = (a[t][:, None, None].clone() for a in (q, k, v))
        h, (C, n, m) = recurrent_step_stabilized_simple(C, n, m, *row, i[t][:, None], f[t][:, None])
        outputs.append(h[:, 0, 0])
    return o.sigmoid() * torch.stack(outputs), (C[:, 0], n[:, 0, :, 0], m[:, 0, :, 0])
