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
def rglru(given, x, h, age):
    """By log a, as the authors' code; it knows the position of a step, and bounds the derivative of the root."""
    x = given.part(x)
    r, i = (sigmoid(given.map(name, x) + given.learned(name)) for name in "ri")
    log_a, start = -8 * r * softplus(given.learned("a")), age <= 0
    scale = torch.where(start, torch.ones_like(r), torch.sqrt(1 - exp(2 * log_a)))
    h = torch.where(start, torch.zeros_like(h), exp(log_a) * h) + scale * x * i
    return h, (h, age + 1)


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


def unit(v, epsilon=1e-6):
    """The vector over its norm, as the authors' code has it; their papers have no epsilon."""
    return v * torch.rsqrt((v**2).sum(-1, keepdim=True) + epsilon)


def replacing(S, k, beta):
    """S (I - beta k k'), for a state with keys for columns."""
    return S @ (torch.eye(k.shape[-1], dtype=k.dtype) - beta[..., None] * einsum("bhk,bhj->bhkj", k, k))


@by_heads
def deltanet(given, x, S):
    q, k, v, b = given.inputs("q k v b", x)
    beta, k = sigmoid(b), unit(k)
    S = replacing(S, k, beta) + einsum("bhv,bhk->bhvk", beta * v, k)
    return einsum("bhvk,bhk->bhv", S, unit(q)), (S,)


@by_heads
def gated_deltanet(given, x, S):
    q, k, v, b, a = given.inputs("q k v b a", x)
    beta, k, alpha = sigmoid(b), unit(k), exp(-exp(given.learned("A")) * softplus(a))
    S = alpha[..., None] * replacing(S, k, beta) + einsum("bhv,bhk->bhvk", beta * v, k)
    return einsum("bhvk,bhk->bhv", S, unit(q)), (S,)


@by_heads
def kda(given, x, S):
    """The authors' code divides queries by sqrt(d)."""
    q, k, v, b, a = given.inputs("q k v b a", x)
    q, k, beta = unit(q), unit(k), sigmoid(b)
    alpha = exp(-exp(given.learned("A")) * softplus(a))
    S = replacing((alpha[..., None] * S).mT, k, beta).mT + einsum("bhk,bhv->bhkv", k, beta * v)
    return einsum("bhk,bhkv->bhv", q, S), (S,)


@by_heads
def gdn2(given, x, S):
    """The authors' code divides queries by sqrt(d)."""
    q, k, v, a, b, w = given.inputs("q k v a b w", x)
    k, alpha = unit(k), exp(-exp(given.learned("A")) * softplus(a))
    erased = torch.eye(k.shape[-1], dtype=k.dtype) - einsum("bhk,bhj->bhkj", k, sigmoid(b) * k)
    S = einsum("bhkj,bhj,bhjv->bhkv", erased, alpha, S) + einsum("bhk,bhv->bhkv", k, sigmoid(w) * v)
    return einsum("bhk,bhkv->bhv", unit(q), S), (S,)


@by_heads
def deltaproduct(given, x, S):
    for step in "12":
        k, v, b = given.inputs(f"k{step} v{step} b{step}", x)
        k, beta = unit(k), 2 * sigmoid(b)
        S = replacing(S, k, beta) + einsum("bhv,bhk->bhvk", beta * v, k)
    return einsum("bhvk,bhk->bhv", S, unit(given.input("q", x))), (S,)


@by_heads
def rwkv7(given, x, S, last):
    """The authors' code divides the key that removes by its norm, or by 1e-12 where that is more."""
    x = given.part(x)
    mixed = {name: torch.lerp(x, last, given.learned(f"mix_{name}").expand_as(x)) for name in "rkvwa"}
    r, k, v, w, a = (given.map(name, mixed[name]) for name in "rkvwa")
    decay = exp(-exp(torch.tensor(-0.5, dtype=x.dtype)) * sigmoid(w + given.learned("w")))
    rate, removed = sigmoid(a + given.learned("a")), unit(k * given.learned("removal"), 1e-12)
    kept = torch.lerp(torch.ones_like(rate), rate, given.learned("replace").expand_as(rate)) * k
    turned = torch.diag_embed(decay) - einsum("bhk,bhj->bhkj", removed, rate * removed)
    S = S @ turned + einsum("bhv,bhk->bhvk", v, kept)
    return einsum("bhvk,bhk->bhv", S, r), (S, x)
