"""Additive units: gates add the old state to a value that the input alone gives."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def atr(x, R, h):
    """Zhang et al. (2018), section 3, the addition-subtraction twin-gated unit: both gates are made of two maps.

    As in the paper, no map has a bias; torchrecurrent adds one to each.
    """
    u, v = R.p(x), R.q(h)
    i = sigmoid(u + v)
    f = sigmoid(u - v)
    return i * u + f * h


@cell
def cfn(x, R, h):
    """Laurent and von Brecht (2017), section 3, the chaos-free network: without inputs every state goes to zero.

    The new value has no bias, as in the paper; torchrecurrent adds one, with which states may stay away from zero.
    """
    f = sigmoid(x.f + R.f(h))
    i = sigmoid(x.i + R.i(h))
    return f * tanh(h) + i * tanh(R.n(x))


@cell
def recurrent_additive_network(x, R, h, c):
    """Lee, Levy and Zettlemoyer (2017), section 2, the RAN: an LSTM whose new value is a linear map of the input.

    That map has no bias. The output is tanh of the cell state; the paper also has the cell state itself.
    """
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    c = i * R.c(x) + f * c
    return tanh(c), c
