"""Several time scales: one state changes more slowly than another, or comes from an earlier step."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell, out


@cell
def lem(x, R, y, z, *, dt=1.0):
    """Rusch et al. (2022), section 2, long expressive memory: two states, each with learned step sizes.

    y sees the new z, as in the paper and in the authors' code. In torchrecurrent 0.2.5 and RecurrentLayers.jl 0.3.4 it
    sees the old z, which gives other numbers.
    """
    a = dt * sigmoid(x.a + R.a(y))
    b = dt * sigmoid(x.b + R.b(y))
    z = (1 - a) * z + a * tanh(x.z + R.z(y))
    return (1 - b) * y + b * tanh(x.y + R.y(z)), z


@cell
def scrn(x, R, h, s, *, alpha=0.95):
    """Mikolov et al. (2015), section 3, the structurally constrained network: a context s that changes slowly.

    The output is U h + V s, to which the paper applies the softmax of its loss. Its width is free: that of `R.u`. Here
    h is fed back, as in the paper; in torchrecurrent 0.2.5 and RecurrentLayers.jl 0.3.4 tanh of the output is.
    """
    s = (1 - alpha) * R.s(x) + alpha * s
    h = sigmoid(R.p(s) + R.a(x) + R.r(h))
    return out(R.u(h) + R.v(s)), h, s


@cell
def taugru(x, R, h, d):
    """Erichson, Lim and Mahoney (2022), section 3, the tau-GRU: the new value also sees the state of an earlier step.

    d is the state of the step before h, so a step reads the states of the last two steps. The paper chooses the delay
    for each task; one that is longer by a step needs one more state, which takes the old d.
    """
    u = tanh(x.u + R.u(h))
    z = tanh(x.z + R.z(d))
    g = sigmoid(x.g + R.g(h))
    a = sigmoid(x.a + R.a(h))
    return (1 - g) * h + g * (u + a * z), h
