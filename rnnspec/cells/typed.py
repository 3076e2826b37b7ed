"""Strongly typed units: maps see the input alone, of this step and of the step before, and never a state."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell, out


@cell
def trnn(x, R, h):
    """Balduzzi and Ghifary (2016), section 3, the T-RNN: a gated average of a map of the inputs, which has no bias.

    torchrecurrent adds a bias to the map.
    """
    f = sigmoid(x.f)
    return f * h + (1 - f) * R.z(x)


@cell
def tgru(x, R, h, w):
    """Balduzzi and Ghifary (2016), section 3, the T-GRU; w is the input of the step before."""
    z = x.z + R.z(w)
    f = sigmoid(x.f + R.f(w))
    o = tanh(x.o + R.o(w))
    return f * h + z * o, x


@cell
def tlstm(x, R, c, w):
    """Balduzzi and Ghifary (2016), section 3, the T-LSTM; w is the input of the step before.

    No step reads the output of another.
    """
    z = x.z + R.z(w)
    f = sigmoid(x.f + R.f(w))
    o = tanh(x.o + R.o(w))
    c = f * c + (1 - f) * z
    return out(o * c), c, x


@cell
def qrnn(x, R, c, w):
    """Bradbury et al. (2017), equations 2 and 4, the quasi-recurrent network with fo-pooling and a window of two.

    w is the input of the step before: R.z(w) + x.z is the convolution. A wider window needs more such states. The maps
    have a bias, as in the authors' code, and f keeps the old state, as in the paper; in the code f takes the new value.
    """
    z = tanh(x.z + R.z(w))
    f = sigmoid(x.f + R.f(w))
    o = sigmoid(x.o + R.o(w))
    c = f * c + (1 - f) * z
    return out(o * c), c, x
