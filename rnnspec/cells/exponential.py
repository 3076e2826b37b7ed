"""Exponential gates: a gate may exceed 1, a normaliser divides by what was written, a stabiliser prevents overflow."""

from rnnspec.primitives import exp, maximum, minimum, sigmoid, softplus, tanh, where
from rnnspec.tracing.cell import cell


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
