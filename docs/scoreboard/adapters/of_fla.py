"""flash-linear-attention: its naive functions, which take what the maps of the input give, as layers of one head.

Some take (batch, time, head, feature), others (batch, head, time, feature). All multiply queries by 1 / sqrt(width),
which is undone here. Gates are logarithms there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fla.ops.delta_rule.naive import delta_rule_recurrence
from fla.ops.gated_delta_rule.naive import naive_chunk_gated_delta_rule, naive_recurrent_gated_delta_rule
from fla.ops.gla.naive import naive_recurrent_gla
from fla.ops.hgrn.naive import naive_recurrent_hgrn
from fla.ops.kda.naive import naive_recurrent_kda
from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6
from fla.ops.simple_gla.naive import naive_chunk_simple_gla, naive_recurrent_simple_gla
from maps import Maps, adapted, mapped
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from rnnspec import cells
from rnnspec.primitives import number, outer, sigmoid
from rnnspec.tracing.cell import cell, out

State = Any


def ran(function: Callable[..., Any], state: Tensor | None, axis: int, **arrays: Tensor) -> Any:
    """The outputs and the final state of one head; `axis` is where the function has its heads."""
    given = {name: a.swapaxes(0, 1).unsqueeze(axis) for name, a in arrays.items()}
    begun = None if state is None else state[:, None]
    outputs, final = function(**given, initial_state=begun, output_final_state=True)
    return outputs.squeeze(axis).swapaxes(0, 1), final[:, 0]


def unscaled(q: Tensor) -> Tensor:
    return q * q.shape[-1] ** 0.5


def unit(a: Tensor) -> Tensor:
    return a / (a.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def transposed(state: State) -> Tensor | None:
    """The state with keys for rows, of a cell that has them as columns."""
    return None if state is None else state[0].mT


@adapted(cells.gla)
def gla(maps: Maps, x: Tensor, state: State) -> Any:
    q, k, v, a = (mapped(maps, x, name) for name in "qkva")
    outputs, final = ran(naive_recurrent_gla, state and state[0], 2, q=unscaled(q), k=k, v=v, gk=F.logsigmoid(a) / 16)
    return outputs, (final,)


@cell
def one_decay(x, S):
    """Linear attention with one decay for each head, which the input sets."""
    S = sigmoid(number(x.a)) * S + outer(x.k, x.v)
    return out(x.q @ S), S


def simple(function: Callable[..., Any]) -> Any:
    def run(maps: Maps, x: Tensor, state: State) -> Any:
        q, k, v, a = (mapped(maps, x, name) for name in "qkva")
        outputs, final = ran(function, state and state[0], 2, q=unscaled(q), k=k, v=v, g=F.logsigmoid(a)[..., 0])
        return outputs, (final,)

    return adapted(one_decay)(run)


simple_gla = simple(naive_recurrent_simple_gla)
chunk_simple_gla = simple(partial(naive_chunk_simple_gla, chunk_size=4))


@adapted(cells.deltanet)
def delta_rule(maps: Maps, x: Tensor, state: State) -> Any:
    q, k, v, b = (mapped(maps, x, name) for name in "qkvb")
    outputs, final = ran(delta_rule_recurrence, transposed(state), 1, q=unscaled(unit(q)), k=unit(k), v=v,
                         beta=b.sigmoid())  # fmt: skip
    return outputs, (final.mT,)


def gated(function: Callable[..., Any]) -> Any:
    def run(maps: Maps, x: Tensor, state: State) -> Any:
        q, k, v, a, b = (mapped(maps, x, name) for name in "qkvab")
        g = -maps["p.A"].exp() * F.softplus(a)[..., 0]
        outputs, final = ran(function, transposed(state), 2, q=unscaled(unit(q)), k=unit(k), v=v, g=g,
                             beta=b.sigmoid()[..., 0])  # fmt: skip
        return outputs, (final.mT,)

    return adapted(cells.gated_deltanet)(run)


gated_delta_rule = gated(naive_recurrent_gated_delta_rule)
chunk_gated_delta_rule = gated(partial(naive_chunk_gated_delta_rule, chunk_size=4))


@adapted(cells.kda)
def kda(maps: Maps, x: Tensor, state: State) -> Any:
    q, k, v, a, b = (mapped(maps, x, name) for name in "qkvab")
    g = -maps["p.A"].exp() * F.softplus(a)
    outputs, final = ran(naive_recurrent_kda, state and state[0], 2, q=unscaled(unit(q)), k=unit(k), v=v, g=g,
                         beta=b.sigmoid()[..., 0])  # fmt: skip
    return outputs, (final,)


@adapted(cells.hgrn)
def hgrn(maps: Maps, x: Tensor, state: State) -> Any:
    b = maps["p.b"].sigmoid()
    f = b + (1 - b) * mapped(maps, x, "f").sigmoid()
    value = (1 - f) * F.silu(mapped(maps, x, "c"))
    outputs, final = naive_recurrent_hgrn(value.swapaxes(0, 1), f.log().swapaxes(0, 1), state and state[0], True)
    return outputs.swapaxes(0, 1), (final,)


@adapted(cells.rwkv6)
def rwkv6(maps: Maps, x: Tensor, state: State) -> Any:
    r, k, v, w = (mapped(maps, x, name) for name in "rkvw")
    function = partial(naive_recurrent_rwkv6, u=maps["p.u"][None], scale=1.0)
    outputs, final = ran(function, state and state[0], 1, q=r, k=k, v=v, w=-torch.exp(w))
    return outputs, (final,)
