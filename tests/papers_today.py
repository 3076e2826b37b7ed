"""Recurrences of today written again from their papers, in plain torch, with an axis of heads and einsum.

A step takes the parameters of one half, the input of one step and the states, as those of tests/papers.py do; it also
takes the number of heads and what they share. States that are complex in the paper are complex here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import einsum, exp, sigmoid
from torch.nn.functional import logsigmoid, silu, softplus


@dataclass(frozen=True)
class Given:
    """The parameters of a layer, as one head after the other sees them: (heads, ...), or (1, ...) where shared."""

    leaves: dict[str, torch.Tensor]
    heads: int
    shared: tuple[str, ...]

    def input(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """W x + b, (batch, heads, width)."""
        weight, bias = (self._apart(f"{kind}.{name}", f"x.{name}") for kind in "Wb")
        return einsum("how,bw->bho", weight, x) + bias

    def inputs(self, names: str, x: torch.Tensor) -> list[torch.Tensor]:
        """The inputs of several names."""
        return [self.input(name, x) for name in names.split()]

    def map(self, name: str, v: torch.Tensor) -> torch.Tensor:
        """U v, without a bias, for v of (batch, heads, width)."""
        weight = self.leaves[f"U.{name}"]
        return einsum("hoi,bhi->bho", weight if weight.dim() == 3 else weight[None], v)

    def learned(self, name: str) -> torch.Tensor:
        """A learned vector (heads, width), or matrix (heads, rows, columns)."""
        leaf = self.leaves[f"p.{name}"]
        return leaf if leaf.dim() == 3 else leaf[None] if leaf.dim() == 2 else self._apart(f"p.{name}", f"p.{name}")

    def part(self, x: torch.Tensor) -> torch.Tensor:
        """The features of the input that each head sees."""
        return x[:, None].expand(-1, self.heads, -1) if "x" in self.shared else x.unflatten(1, (self.heads, -1))

    def _apart(self, leaf: str, name: str) -> torch.Tensor:
        return self.leaves[leaf].unflatten(0, (1 if name in self.shared else self.heads, -1))


def by_heads(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step over states with an axis of heads; a cell without heads has one, and states without that axis."""

    def stepped(leaves, x, *states, heads=None, shared=()):
        given = Given(leaves, heads or 1, shared)
        output, new = step(given, x, *(states if heads else (s[:, None] for s in states)))
        return output.flatten(1), tuple(new if heads else (s[:, 0] for s in new))

    return stepped


def in_blocks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step without heads, over the states of all heads side by side; its recurrent maps are block-diagonal."""

    def stepped(leaves, x, *states, heads=None, shared=()):
        if heads is None:
            return step(leaves, x, *states)
        whole = {name: torch.block_diag(*leaf) if leaf.dim() == 3 else leaf for name, leaf in leaves.items()}
        output, new = step(whole, x, *(s.flatten(1) for s in states))
        return output, tuple(s.unflatten(1, (heads, -1)) for s in new)

    return stepped


@by_heads
def mlstm(given, x, C, n, m):
    """Keys are divided by sqrt(d). The later library of the authors divides queries, and adds 1e-6 to the divisor."""
    q, k, v, i, f, o = given.inputs("q k v i f o", x)
    k = k / sqrt(k.shape[-1])
    kept, m = logsigmoid(f) + m, torch.maximum(logsigmoid(f) + m, i)
    keep, write = exp(kept - m), exp(i - m)
    C = keep[..., None] * C + write[..., None] * einsum("bhv,bhk->bhvk", v, k)
    n = keep * n + write * k
    divisor = torch.maximum(einsum("bhk,bhk->bh", n, q).abs()[..., None], exp(-m))
    return sigmoid(o) * einsum("bhvk,bhk->bhv", C, q) / divisor, (C, n, m)


def mlstm_unstabilised(leaves, x, C, n, heads):
    """The paper's equations 19 to 27 without the stabiliser, from where exp may overflow."""
    q, k, v, i, f, o = Given(leaves, heads, ()).inputs("q k v i f o", x)
    k = k / sqrt(k.shape[-1])
    C = sigmoid(f)[..., None] * C + exp(i)[..., None] * einsum("bhv,bhk->bhvk", v, k)
    n = sigmoid(f) * n + exp(i) * k
    divisor = einsum("bhk,bhk->bh", n, q).abs()[..., None].clamp(min=1)
    return (sigmoid(o) * einsum("bhvk,bhk->bhv", C, q) / divisor).flatten(1), (C, n)


@by_heads
def rglru(given, x, h, t):
    """By log a, as the authors' code; it knows the position of a step, and bounds the derivative of the root."""
    x = given.part(x)
    r, i = (sigmoid(given.map(name, x) + given.learned(name)) for name in "ri")
    log_a, start = -8 * r * softplus(given.learned("a")), t <= 0
    scale = torch.where(start, torch.ones_like(r), torch.sqrt(1 - exp(2 * log_a)))
    h = torch.where(start, torch.zeros_like(h), exp(log_a) * h) + scale * x * i
    return h, (h, t + 1)


@by_heads
def lru(given, x, re, im):
    x, h = given.part(x), torch.complex(re, im)
    turn = exp(torch.complex(-exp(given.learned("nu")), exp(given.learned("theta"))))
    written = torch.complex(given.map("B_re", x), given.map("B_im", x))
    h = turn * h + exp(given.learned("gamma")) * written
    return read(given, h) + given.learned("D") * x, (h.real, h.imag)


@by_heads
def s5(given, x, re, im):
    x, h = given.part(x), torch.complex(re, im)
    value = torch.complex(given.learned("re"), given.learned("im"))
    turn = exp(value * exp(given.learned("dt")))
    h = turn * h + (turn - 1) / value * torch.complex(given.map("B_re", x), given.map("B_im", x))
    return 2 * read(given, h) + given.learned("D") * x, (h.real, h.imag)


def read(given, h):
    """Re(C h)."""
    weight = torch.complex(given.leaves["U.C_re"], given.leaves["U.C_im"])
    return einsum("hoi,bhi->bho", weight if weight.dim() == 3 else weight[None], h).real


@by_heads
def s4d(given, x, re, im):
    """The authors' short code scales C by (exp(A dt) - 1) / A where this scales the input."""
    x, h = given.part(x), torch.complex(re, im)
    value = torch.complex(-exp(given.learned("re")), given.learned("im"))
    turn = exp(value * exp(given.learned("dt"))[..., None])
    h = turn * h + (turn - 1) / value * x[..., None]
    weight = torch.complex(given.learned("C_re"), given.learned("C_im"))
    return 2 * einsum("hdn,bhdn->bhd", weight, h).real + given.learned("D") * x, (h.real, h.imag)


@by_heads
def mamba(given, x, S):
    dt, B, C = given.inputs("dt B C", x)
    x, dt, A = given.part(x), softplus(dt), -exp(given.learned("A"))
    S = exp(einsum("bhd,hdn->bhdn", dt, A)) * S + einsum("bhd,bhn,bhd->bhdn", dt, B, x)
    return einsum("bhdn,bhn->bhd", S, C) + given.learned("D") * x, (S,)


@by_heads
def mamba2(given, x, S):
    dt, v, B, C = given.inputs("dt v B C", x)
    dt = softplus(dt)
    B, C = (part.expand(-1, given.heads, -1) for part in (B, C))
    decay = exp(dt * -exp(given.learned("A")))[..., None]
    S = decay * S + einsum("bhp,bhn->bhpn", dt * v, B)
    return einsum("bhn,bhpn->bhp", C, S) + given.learned("D") * v, (S,)


@by_heads
def retnet(given, x, S):
    q, k, v = given.inputs("q k v", x)
    S = einsum("h,bhkv->bhkv", given.learned("gamma")[:, 0], S) + einsum("bhk,bhv->bhkv", k, v)
    return einsum("bhk,bhkv->bhv", q, S), (S,)


@by_heads
def gla(given, x, S):
    """The authors' code divides queries by sqrt(d)."""
    q, k, v, a = given.inputs("q k v a", x)
    S = einsum("bhk,bhkv->bhkv", sigmoid(a) ** (1 / 16), S) + einsum("bhk,bhv->bhkv", k, v)
    return einsum("bhk,bhkv->bhv", q, S), (S,)


@by_heads
def hgrn2(given, x, S):
    """The authors' code for images has a sigmoid for the output gate."""
    o, f, i = given.inputs("o f i", x)
    bound = sigmoid(given.learned("b"))
    forget = torch.lerp(sigmoid(f), torch.ones_like(f), bound)
    S = einsum("bhvk,bhk->bhvk", S, forget) + einsum("bhv,bhk->bhvk", i, 1 - forget)
    return einsum("bhvk,bhk->bhv", S, silu(o)), (S,)


@by_heads
def rwkv6(given, x, S):
    r, k, v, w = given.inputs("r k v w", x)
    bonus = einsum("bhk,hk,bhk->bh", r, given.learned("u"), k)
    y = einsum("bhk,bhkv->bhv", r, S) + bonus[..., None] * v
    S = einsum("bhk,bhkv->bhkv", exp(-exp(w)), S) + einsum("bhk,bhv->bhkv", k, v)
    return y, (S,)
