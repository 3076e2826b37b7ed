"""Matrix states in chunks as one writes them by hand in PyTorch, for the measurements beside rnnspec.

Each function takes the parameters of one layer in the names of `Network.init`, inputs (time, batch, feature) and the
number of heads, and returns the outputs (time, batch, feature) for a state that begins with zeros. The number of steps
is a multiple of `CHUNK`. Within a chunk the decays are differences of cumulative sums of logarithms, the usual form;
between chunks a loop carries the state. PyTorch's autograd differentiates all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import logsigmoid, softplus

__all__ = ["BY_HAND", "CHUNK"]

CHUNK = 64
Tensor = Any
Params = Mapping[str, Mapping[str, Tensor]]


def mapped(params: Params, name: str, inputs: Tensor, heads: int) -> Tensor:
    """`W x + b` as (batch, heads, chunks, steps, width)."""
    steps, batch, _ = inputs.shape
    found = inputs @ params["W"][name].T + params["b"][name]
    return found.reshape(steps // CHUNK, CHUNK, batch, heads, -1).permute(2, 3, 0, 1, 4)


def over_time(outputs: Tensor) -> Tensor:
    """(batch, heads, chunks, steps, width) as (time, batch, feature)."""
    batch, heads, chunks, steps, width = outputs.shape
    return outputs.permute(2, 3, 0, 1, 4).reshape(chunks * steps, batch, heads * width)


def carried(reads: Tensor, decay: Tensor, writes: Tensor) -> Tensor:
    """`reads @ S` for the state at the beginning of each chunk."""
    state, found = torch.zeros_like(writes[:, :, 0]), []
    for n in range(reads.shape[2]):
        found.append(reads[:, :, n] @ state)
        state = decay[:, :, n] * state + writes[:, :, n]
    return torch.stack(found, 2)


def gla(params: Params, inputs: Tensor, heads: int) -> Tensor:
    """Gated linear attention."""
    a, q, k, v = (mapped(params, name, inputs, heads) for name in "aqkv")
    log = (logsigmoid(a) / 16).cumsum(-2)
    reads, last = q * log.exp(), log[..., -1:, :]
    within = (reads @ (k * (-log).exp()).mT).tril() @ v
    return over_time(within + carried(reads, last.exp().mT, (k * (last - log).exp()).mT @ v))


def mamba2(params: Params, inputs: Tensor, heads: int) -> Tensor:
    """The recurrence of Mamba-2."""
    dt, v, key, query = (mapped(params, name, inputs, heads) for name in ("dt", "v", "B", "C"))
    dt = softplus(dt)
    log = (-dt * params["p"]["A"].reshape(1, heads, 1, 1, 1).exp()).cumsum(-2)
    last, value = log[..., -1:, :], dt * v
    within = ((query @ key.mT) * between(log).exp()) @ value
    state = carried(query * log.exp(), last.exp(), (key * (last - log).exp()).mT @ value)
    return over_time(within + state + params["p"]["D"].reshape(1, heads, 1, 1, 1) * v)


def between(log: Tensor) -> Tensor:
    """The logarithm of the decay between each two steps of a chunk, minus infinity for later writes."""
    steps = log.shape[-2]
    later = torch.ones(steps, steps, dtype=torch.bool).triu(1)
    return (log - log.mT).masked_fill(later, float("-inf"))


def mlstm(params: Params, inputs: Tensor, heads: int) -> Tensor:
    """The mLSTM with its stabiliser."""
    i, f, o, q, k, v = (mapped(params, name, inputs, heads) for name in ("i", "f", "o", "q", "k", "v"))
    k, log = k / k.shape[-1] ** 0.5, logsigmoid(f).cumsum(-2)
    ones = torch.ones_like(v[..., :1])
    value = torch.cat([v, ones], -1)
    most = (i - log).cummax(-2).values + log
    state, m = torch.zeros_like(k[:, :, 0].mT @ value[:, :, 0]), torch.zeros_like(i[:, :, 0, :1])
    found = []
    for n in range(k.shape[2]):
        now, own, query, key = log[:, :, n], i[:, :, n], q[:, :, n], k[:, :, n]
        stable = torch.maximum(now + m, most[:, :, n])
        weights = (between(now) + own.mT - stable).exp()
        read = ((query @ key.mT) * weights) @ value[:, :, n] + (now + m - stable).exp() * (query @ state)
        norm = torch.maximum(read[..., -1:].abs(), (-stable).exp())
        found.append(torch.sigmoid(o[:, :, n]) * read[..., :-1] / norm)
        last, end = now[..., -1:, :], stable[..., -1:, :]
        state = (last + m - end).exp() * state + (key * (last - now + own - end).exp()).mT @ value[:, :, n]
        m = end
    return over_time(torch.stack(found, 2))


def deltanet(params: Params, inputs: Tensor, heads: int) -> Tensor:
    """The delta rule."""
    b, q, k, v = (mapped(params, name, inputs, heads) for name in "bqkv")
    return delta(torch.zeros_like(b), torch.sigmoid(b), normal(q), normal(k), v)


def gated_deltanet(params: Params, inputs: Tensor, heads: int) -> Tensor:
    """The gated delta rule."""
    a, b, q, k, v = (mapped(params, name, inputs, heads) for name in "abqkv")
    log = -params["p"]["A"].reshape(1, heads, 1, 1, 1).exp() * softplus(a)
    return delta(log, torch.sigmoid(b), normal(q), normal(k), v)


def normal(a: Tensor) -> Tensor:
    """Vectors of norm 1."""
    return a / ((a * a).sum(-1, keepdim=True) + 1e-6).sqrt()


def delta(log: Tensor, b: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The delta rule with a decay for each head, by the inverse of a triangular matrix for each chunk."""
    log = log.cumsum(-2)
    decays, last = between(log).exp(), log[..., -1:, :]
    system = torch.eye(CHUNK) + (b * (k @ k.mT) * decays).tril(-1)
    own = torch.linalg.solve_triangular(system, torch.cat([b * v, b * k * log.exp()], -1), upper=False)
    value, through = own.split([v.shape[-1], k.shape[-1]], -1)
    within, reads, keys = (q @ k.mT) * decays, q * log.exp(), k * (last - log).exp()
    state, found = torch.zeros_like(k[:, :, 0].mT @ v[:, :, 0]), []
    for n in range(q.shape[2]):
        new = value[:, :, n] - through[:, :, n] @ state
        found.append(reads[:, :, n] @ state + within[:, :, n] @ new)
        state = last[:, :, n].exp() * state + keys[:, :, n].mT @ new
    return over_time(torch.stack(found, 2))


BY_HAND: dict[str, Callable[[Params, Tensor, int], Tensor]] = {
    "gla": gla, "mlstm": mlstm, "mamba2": mamba2, "deltanet": deltanet, "gated_deltanet": gated_deltanet,
}  # fmt: skip
"""The function of each cell."""
