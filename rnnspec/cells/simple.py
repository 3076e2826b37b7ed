"""Simple recurrent networks: a map of the input, a map of the state, and a function of their sum."""

from rnnspec.primitives import number, relu, sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def elman(x, R, h):
    """Elman (1990), section 2, with the tanh of today's use."""
    return tanh(x.h + R.h(h))


@cell
def elman_relu(x, R, h):
    """Le, Jaitly and Hinton (2015), section 3."""
    return relu(x.h + R.h(h))


@cell
def fastrnn(x, R, p, h):
    """Kusupati et al. (2018), section 3.1, FastRNN: two learned numbers weigh the new value and the old state.

    They are sigmoids of alpha and beta, as in the authors' code. The paper's function is any; here it is tanh.
    """
    return sigmoid(number(p.alpha)) * tanh(x.h + R.h(h)) + sigmoid(number(p.beta)) * h


@cell
def multiplicative_rnn(x, R, h):
    """Sutskever, Martens and Hinton (2011), section 3, the multiplicative RNN: the input chooses the recurrent map.

    The factors m take the place of the state in Elman's network; their width is free, that of `R.m`. Another cell may
    stand in the place of elman, as in the wrapper Multiplicative of RecurrentLayers.jl.
    """
    m = R.x(x) * R.m(h)
    return elman(x, R, m)


@cell
def mi_rnn(x, R, p, h):
    """Wu et al. (2016), section 2, multiplicative integration: the two maps are multiplied, not only added."""
    u, v = R.w(x), R.u(h)
    return tanh(p.alpha * u * v + p.u * v + p.w * u + p.b)
