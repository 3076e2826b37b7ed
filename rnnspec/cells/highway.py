"""Highways: the input, or the state between several maps of one step, also passes beside the maps."""

from rnnspec.primitives import relu, sigmoid, tanh
from rnnspec.tracing.cell import cell, out


@cell
def rhn(x, R, p, h):
    """Zilly et al. (2017), equations 6-9, the recurrent highway network with three highway layers in each step.

    The gate that carries is 1 - t, as in the paper's experiments. Only the first layer sees the input. For another
    depth, declare the loop with other names.
    """
    t = sigmoid(x.t1 + R.t1(h))
    h = tanh(x.h1 + R.h1(h)) * t + h * (1 - t)
    for i in "23":
        t = sigmoid(getattr(R, f"t{i}")(h) + getattr(p, f"t{i}"))
        h = tanh(getattr(R, f"h{i}")(h) + getattr(p, f"h{i}")) * t + h * (1 - t)
    return h


@cell
def intersection_rnn(x, R, h):
    """Collins, Sohl-Dickstein and Sussillo (2017), the intersection RNN: one highway through depth, one through time.

    The output mixes the input with a new value, so it is as wide as the input.
    """
    y = relu(x.y + R.y(h))
    n = tanh(x.n + R.n(h))
    u = sigmoid(x.u + R.u(h))
    g = sigmoid(x.g + R.g(h))
    return out(u * x + (1 - u) * y), g * h + (1 - g) * n
