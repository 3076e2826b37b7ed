"""Searched cells: a program found their equations."""

from rnnspec.primitives import relu, sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def mut1(x, R, p, h):
    """Jozefowicz, Zaremba and Sutskever (2015), MUT1: the update gate sees the input alone.

    The new value sees tanh of the input itself, so a layer needs as many units as inputs. torchrecurrent maps it.
    """
    z = sigmoid(x.z)
    r = sigmoid(x.r + R.r(h))
    n = tanh(tanh(x) + R.n(r * h) + p.n)
    return z * n + (1 - z) * h


@cell
def mut2(x, R, p, h):
    """Jozefowicz, Zaremba and Sutskever (2015), MUT2: a GRU whose reset gate sees the input itself, not a map of it.

    So a layer needs as many units as inputs. torchrecurrent maps it.
    """
    z = sigmoid(x.z + R.z(h))
    r = sigmoid(x + R.r(h) + p.r)
    n = tanh(x.n + R.n(r * h))
    return z * n + (1 - z) * h


@cell
def mut3(x, R, h):
    """Jozefowicz, Zaremba and Sutskever (2015), MUT3: a GRU whose update gate sees tanh of the state."""
    z = sigmoid(x.z + R.z(tanh(h)))
    r = sigmoid(x.r + R.r(h))
    n = tanh(x.n + R.n(r * h))
    return z * n + (1 - z) * h


@cell
def nas(x, R, h, c):
    """Zoph and Le (2017), the cell of their search for language models, as TensorFlow's NASCell has it."""
    a = tanh(sigmoid(x.a1 + R.a1(h)) * relu(x.a2 + R.a2(h)))
    b = tanh(sigmoid(x.b1 + R.b1(h)) + relu(x.b2 + R.b2(h)))
    d = tanh(tanh(x.d1 + R.d1(h)) * sigmoid(x.d2 + R.d2(h)))
    e = sigmoid(tanh(x.e1 + R.e1(h)) + sigmoid(x.e2 + R.e2(h)))
    c = tanh(a + c) * b
    return tanh(c * tanh(d + e)), c
