"""Linear attention: a matrix keeps values under their keys and forgets by a decay, and a query reads it."""

from rnnspec.primitives import exp, number, outer, sigmoid, softplus
from rnnspec.tracing.cell import cell, out


@cell
def retnet(x, p, S):
    """Sun et al. (2023), equation 6, the recurrent form of retention: one decay for each head.

    The paper holds p.gamma at 1 - 2^(-5 - head). Its rotation of queries and keys by their position, and its division
    by sqrt(d), are left out.
    """
    S = number(p.gamma) * S + outer(x.k, x.v)
    return out(x.q @ S), S


@cell
def gla(x, S, *, tau=16):
    """Yang et al. (2024), sections 4.1 and 4.4, gated linear attention: the input sets a decay for each key feature.

    x.a is one whole map, in the paper a product of two. The authors' code divides queries by sqrt(d). The norm and the
    output gate stand outside.
    """
    a = exp(-softplus(-x.a) / tau)
    S = outer(a, 1) * S + outer(x.k, x.v)
    return out(x.q @ S), S


@cell
def hgrn2(x, p, S):
    """Qin et al. (2024), section 3, HGRN2: the HGRN with a matrix, where 1 - f is the key and the output gate reads.

    The lower bound b is learned here by each layer, as in hgrn. The output gate is SiLU, as in the authors' code for
    language; that for images has a sigmoid there, and SiLU on x.i.
    """
    b, o = sigmoid(p.b), x.o * sigmoid(x.o)
    f = b + (1 - b) * sigmoid(x.f)
    S = S * outer(1, f) + outer(x.i, 1 - f)
    return out(S @ o), S


@cell
def rwkv6(x, p, S):
    """Peng et al. (2024), section 4.2, Finch: it reads before it writes, and the newest value by a bonus p.u.

    x mixes with the step before it, by gates of its own, before the cell; the norm and the output gate stand after it.
    """
    new = outer(x.k, x.v)
    y = x.r @ (S + outer(p.u, 1) * new)
    S = outer(exp(-exp(x.w)), 1) * S + new
    return out(y), S
