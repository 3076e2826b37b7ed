"""Recurrences written again from their papers, as a step in plain torch, for cells that no library has.

A step takes the parameters by label, as in `W.f`, the input of one step and the states; it returns the output and the
new states. It shares nothing with rnnspec but the names of the parameters.
"""

import torch
from torch import sigmoid, tanh
from torch.nn.functional import logsigmoid, silu


def affine(leaves, name, x, h=None):
    """W x + b, and U h where there is an h."""
    return x @ leaves[f"W.{name}"].T + leaves[f"b.{name}"] + (0 if h is None else h @ leaves[f"U.{name}"].T)


def lstm_projected(leaves, x, h, c):
    i, f, o = (sigmoid(affine(leaves, name, x, h)) for name in "ifo")
    c = f * c + i * tanh(affine(leaves, "g", x, h))
    h = (o * tanh(c)) @ leaves["U.p"].T
    return h, (h, c)


def lstm_coupled(leaves, x, h, c):
    f, o = (sigmoid(affine(leaves, name, x, h)) for name in "fo")
    c = torch.lerp(tanh(affine(leaves, "g", x, h)), c, f)
    h = o * tanh(c)
    return h, (h, c)


def gru_reset_before(leaves, x, h):
    z, r = (sigmoid(affine(leaves, name, x, h)) for name in "zr")
    h = torch.lerp(tanh(affine(leaves, "n", x, r * h)), h, z)
    return h, (h,)


def paragru(leaves, x, h):
    z, r = (sigmoid(affine(leaves, name, x) + leaves[f"p.{name}"] * h) for name in "zr")
    new = tanh(affine(leaves, "n", x) + leaves["p.n"] * h * r)
    h = z * new + (1 - z) * h
    return h, (h,)


def paralstm(leaves, x, h, c):
    f, g, o = (affine(leaves, name, x) + leaves[f"p.{name}"] * h for name in "fgo")
    f = sigmoid(f + leaves["p.fc"] * c)
    c = f * c + (1 - f) * tanh(g)
    h = sigmoid(o + leaves["p.oc"] * c) * tanh(c)
    return h, (h, c)


def mingru(leaves, x, h):
    h = torch.lerp(h, affine(leaves, "h", x), sigmoid(affine(leaves, "z", x)))
    return h, (h,)


def minlstm(leaves, x, h):
    gates = torch.stack([affine(leaves, name, x).sigmoid() for name in "fi"])
    keep, write = gates / gates.sum(0)
    h = keep * h + write * affine(leaves, "h", x)
    return h, (h,)


def hgrn(leaves, x, h):
    bound, c = sigmoid(leaves["p.b"]), silu(affine(leaves, "c", x))
    forget = torch.lerp(sigmoid(affine(leaves, "f", x)), torch.ones_like(h), bound)
    h = forget * h + (1 - forget) * c
    return h, (h,)


def slstm(leaves, x, h, c, n, m):
    """With the stabiliser: the first step is the one before which nothing was written."""
    i, f, z, o = (affine(leaves, name, x, h) for name in "ifzo")
    kept = logsigmoid(f) + m
    m = torch.where(n == 0, i, torch.maximum(kept, i))
    keep, write = torch.exp(kept - m).clamp(max=1), torch.exp(i - m)
    c, n = keep * c + write * tanh(z), keep * n + write
    h = sigmoid(o) * c / n
    return h, (h, c, n, m)


def slstm_unstabilised(leaves, x, h, c, n):
    """The same recurrence without the stabiliser, which overflows soon."""
    i, f, z, o = (affine(leaves, name, x, h) for name in "ifzo")
    c, n = sigmoid(f) * c + i.exp() * tanh(z), sigmoid(f) * n + i.exp()
    h = sigmoid(o) * c / n
    return h, (h, c, n)


def multiplicative_rnn(leaves, x, h):
    h = tanh(affine(leaves, "h", x, factors(leaves, x, h)))
    return h, (h,)


def factors(leaves, x, h):
    """diag(W x) U h, in which a map of the input multiplies one of the state."""
    return (x @ leaves["U.x"].T) * (h @ leaves["U.m"].T)


def mi_rnn(leaves, x, h):
    u, v = x @ leaves["U.w"].T, h @ leaves["U.u"].T
    h = tanh(torch.addcmul(leaves["p.b"], leaves["p.alpha"] * u, v) + v * leaves["p.u"] + u * leaves["p.w"])
    return h, (h,)
