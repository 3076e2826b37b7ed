"""Exponential gates: a gate may exceed 1, a normaliser divides by what was written, a stabiliser prevents overflow."""

from rnnspec.primitives import (
    exp,
    maximum,
    minimum,
    number,
    outer,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
    width,
)
from rnnspec.tracing.cell import cell, out


@cell
def slstm(x, R, h, c, n, m):
    """Beck et al. (2024), section 2.2: the sLSTM of the xLSTM, of one head, with sigmoid forget gate and stabiliser m.

    At a row's first step n is 0, and m is taken from the input gate. The authors' code asks whether n is 0 in all rows,
    so there one row depends on the others. There f can also overflow at the first step; here it is at most 1.
    """
    i = x.i + R.i(h)
    f = m - softplus(-(x.f + R.f(h)))
    z = tanh(x.z + R.z(h))
    o = sigmoid(x.o + R.o(h))
    m = where(n > 0, maximum(f, i), i)
    f, i = exp(minimum(f - m, 0)), exp(i - m)
    c = f * c + i * z
    n = f * n + i
    return o * (c / n), c, n, m


@cell
def mlstm(x, C, n, m):
    """Beck et al. (2024), section 2.3: the mLSTM of the xLSTM, with a matrix state, sigmoid forget gate and stabiliser.

    Keys are divided by sqrt(d), as in the paper; a later library of the authors divides queries, and has states C and n
    that are sqrt(d) times these. Their code adds a small number to what divides.
    """
    k = x.k / sqrt(width(x.k))
    i, f = number(x.i), number(m) - softplus(-number(x.f))
    m = maximum(f, i)
    f, i = exp(f - m), exp(i - m)
    C = f * C + i * outer(x.v, k)
    n = f * n + i * k
    read = total(n * x.q)
    return out(sigmoid(x.o) * (C @ x.q) / maximum(maximum(read, -read), exp(-m))), C, n, m
