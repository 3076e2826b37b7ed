"""Recurrences written again from their papers, as a step in plain torch, for cells that no library has.

A step takes the parameters by label, as in `W.f`, the input of one step and the states; it returns the output and the
new states. It shares nothing with rnnspec but the names of the parameters.
"""

import torch
from torch import sigmoid, tanh
from torch.nn.functional import layer_norm, logsigmoid, relu, rms_norm, silu


def affine(leaves, name, x, h=None):
    """W x + b, and U h where there is an h."""
    return x @ leaves[f"W.{name}"].T + leaves[f"b.{name}"] + (0 if h is None else h @ leaves[f"U.{name}"].T)


def dense(leaves, x):
    return affine(leaves, "y", x), ()


def layer_normed(leaves, x):
    return layer_norm(x, x.shape[-1:], leaves["p.scale"], leaves["p.shift"], 1e-5), ()


def rms_normed(leaves, x):
    return rms_norm(x, x.shape[-1:], leaves["p.scale"], 1e-6), ()


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


def gated(pre, c):
    """The state and the output of an LSTM, from what its gates i, f, g and o squash."""
    i, f, g, o = pre
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def lstm_layer_norm(leaves, x, h, c):
    parts = ("xi", "xf", "xg", "xo"), ("hi", "hf", "hg", "ho")
    normed = []
    for names, vector in zip(parts, (x, h), strict=True):
        stacked = vector @ torch.cat([leaves[f"U.{name}"] for name in names]).T
        gain = torch.cat([leaves[f"p.{name}"] for name in names])
        normed.append(layer_norm(stacked, gain.shape, gain))
    i, f, g, o = (sum(normed) + torch.cat([leaves[f"p.{name}"] for name in "ifgo"])).chunk(4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, c.shape[1:], leaves["p.c"], leaves["p.d"]))
    return h, (h, c)


def mogrifier_lstm(leaves, x, h, c):
    for turn, name in enumerate(("q1", "r2", "q3", "r4", "q5")):
        if turn % 2:
            h = 2 * sigmoid(x @ leaves[f"U.{name}"].T) * h
        else:
            x = 2 * sigmoid(h @ leaves[f"U.{name}"].T) * x
    h, c = gated([inner(leaves, f"x_{gate}", x) + h @ leaves[f"U.{gate}"].T for gate in "ifgo"], c)
    return h, (h, c)


def inner(leaves, name, v):
    """A map of a vector that is no input, with its bias."""
    return v @ leaves[f"U.{name}"].T + leaves[f"p.{name}"]


def fast_slow(leaves, x, h, c, s, d):
    h, c = gated([affine(leaves, f"first_{gate}", x, h) for gate in "ifgo"], c)
    s, d = gated([inner(leaves, f"x_slow_{gate}", h) + s @ leaves[f"U.slow_{gate}"].T for gate in "ifgo"], d)
    h, c = gated([inner(leaves, f"x_second_{gate}", s) + h @ leaves[f"U.second_{gate}"].T for gate in "ifgo"], c)
    return h, (h, c, s, d)


def sru(leaves, x, c):
    f, r = (affine(leaves, name, x) + leaves[f"p.{name}"] * c for name in "fr")
    c = torch.lerp(x @ leaves["U.c"].T, c, sigmoid(f))
    return torch.lerp(x, c, sigmoid(r)), (c,)


def mingru_log(leaves, x, h):
    """The new value by its logarithm, as in the paper's appendix."""
    new = affine(leaves, "h", x)
    logarithm = torch.where(new >= 0, (relu(new) + 0.5).log(), logsigmoid(new))
    h = torch.lerp(h, logarithm.exp(), sigmoid(affine(leaves, "z", x)))
    return h, (h,)


def qrnn(leaves, x, c, before):
    z, f, o = (affine(leaves, name, x, before) for name in "zfo")
    c = torch.lerp(tanh(z), c, sigmoid(f))
    return sigmoid(o) * c, (c, x)


def rhn(leaves, x, s):
    for depth in "123":
        h, t = (affine(leaves, f"{kind}1", x, s) if depth == "1" else inner(leaves, f"{kind}{depth}", s)
                for kind in "ht")  # fmt: skip
        s = torch.lerp(s, tanh(h), sigmoid(t))
    return s, (s,)


def lem(leaves, x, y, z):
    """The authors' step size is 1 by default."""
    z = torch.lerp(z, tanh(affine(leaves, "z", x, y)), sigmoid(affine(leaves, "a", x, y)))
    keep = sigmoid(-affine(leaves, "b", x, y))
    y = torch.lerp(tanh(affine(leaves, "y", x, z)), y, keep)
    return y, (y, z)


def scrn(leaves, x, h, s):
    s = 0.05 * (x @ leaves["U.s"].T) + 0.95 * s
    h = sigmoid(s @ leaves["U.p"].T + x @ leaves["U.a"].T + h @ leaves["U.r"].T)
    return h @ leaves["U.u"].T + s @ leaves["U.v"].T, (h, s)


def lipschitz_rnn(leaves, x, h):
    linear, inside = (0.75 * (m - m.T) + 0.25 * (m + m.T) - 0.001 * torch.eye(len(m), dtype=m.dtype)
                      for m in (leaves["U.a"], leaves["U.w"]))  # fmt: skip
    h = h + 0.03 * (h @ linear.T + tanh(h @ inside.T + affine(leaves, "h", x)))
    return h, (h,)
