"""Units with one gate: it blends the old state with a new value."""

from rnnspec.primitives import maximum, minimum, number, relu, sigmoid, softplus, tanh
from rnnspec.tracing.cell import cell


@cell
def mgu(x, R, h):
    """Zhou et al. (2016), the minimal gated unit: a GRU whose reset and update gates are one."""
    f = sigmoid(x.f + R.f(h))
    n = tanh(x.n + R.n(f * h))
    return (1 - f) * h + f * n


@cell
def ugrnn(x, R, h):
    """Collins, Sohl-Dickstein and Sussillo (2017), the update gate RNN, with tanh for the paper's s."""
    n = tanh(x.n + R.n(h))
    g = sigmoid(x.g + R.g(h))
    return g * h + (1 - g) * n


@cell
def ligru(x, R, h):
    """Ravanelli et al. (2018), the light GRU: no reset gate, and relu.

    The paper normalises the maps of the input over the batch; rows of one batch do not see one another here.
    """
    z = sigmoid(x.z + R.z(h))
    n = relu(x.n + R.n(h))
    return z * h + (1 - z) * n


@cell
def minimal_rnn(x, R, p, h):
    """Chen (2017), MinimalRNN: the state stays in the space of z, an embedding of the input."""
    z = tanh(x.z)
    u = sigmoid(R.h(h) + R.z(z) + p.u)
    return u * h + (1 - u) * z


@cell
def lightru(x, R, h):
    """Ye et al. (2024), the light recurrent unit: the new value sees the input alone, the gate sees both."""
    n = tanh(x.n)
    f = sigmoid(x.f + R.f(h))
    return (1 - f) * h + f * n


@cell
def star(x, R, h):
    """Turkoglu et al. (2022), the stackable recurrent cell: as lightru, with tanh around the blend."""
    z = tanh(x.z)
    k = sigmoid(x.k + R.k(h))
    return tanh((1 - k) * h + k * z)


@cell
def sgrn(x, R, h):
    """The simple gated recurrent network (2020, doi 10.1049/gtd2.12056): gate and new value share the map of the input.

    torchrecurrent adds a bias to the gate alone.
    """
    f = sigmoid(x.h + R.h(h))
    return tanh((1 - f) * x.h + f * h)


@cell
def sgu(x, R, h):
    """Gao and Glowacka (2016), the simple gated unit: the new value multiplies the state by a gate on x times h.

    The hard sigmoid is that of Theano and Keras at the time, of slope 0.2; that of torch has the slope 1/6.
    """
    g = tanh(R.g(x.g * h))
    n = softplus(g * h)
    z = minimum(maximum(0.2 * (x.z + R.z(h)) + 0.5, 0), 1)
    return (1 - z) * h + z * n


@cell
def dsgu(x, R, h):
    """Gao and Glowacka (2016), the deep simple gated unit: as sgu, with one more map and a sigmoid."""
    g = tanh(R.g(x.g * h))
    n = sigmoid(R.n(g * h))
    z = minimum(maximum(0.2 * (x.z + R.z(h)) + 0.5, 0), 1)
    return (1 - z) * h + z * n


@cell
def fastgrnn(x, R, p, h):
    """Kusupati et al. (2018), section 3.2, FastGRNN: gate and new value share both maps, and differ in the bias only.

    The gate is a sigmoid, as in the paper; that of torchrecurrent 0.2.5 is tanh by default. The low rank, sparsity
    and rounding of the maps are a matter of training.
    """
    a = R.w(x) + R.u(h)
    z = sigmoid(a + p.z)
    n = tanh(a + p.n)
    return (sigmoid(number(p.zeta)) * (1 - z) + sigmoid(number(p.nu))) * n + z * h


@cell
def janet(x, R, h, *, beta=1.0):
    """Van der Westhuizen and Lasenby (2018), section 3, JANET: an LSTM with a forget gate only.

    The constant beta makes it write a little more than it forgets. torchrecurrent learns beta.
    """
    f = x.f + R.f(h)
    return sigmoid(f) * h + (1 - sigmoid(f - beta)) * tanh(x.c + R.c(h))


@cell
def miru1(x, R, h, *, update=0.5):
    """The minion gated unit (2026, doi 10.1016/j.neucom.2026.132847): a GRU whose update gate is a constant.

    The paper calls the constant lambda. torchrecurrent has 0.5 by default, and so has this.
    """
    r = sigmoid(x.r + R.r(h))
    n = tanh(x.n + R.n(r * h))
    return update * h + (1 - update) * n


@cell
def miru2(x, R, h, *, update=0.5, reset=0.5):
    """The second minion gated unit (2026, doi 10.1016/j.neucom.2026.132847): a GRU whose two gates are constants.

    The paper calls them lambda and theta. torchrecurrent has 0.5 for both by default, and so has this.
    """
    n = tanh(x.n + R.n(reset * h))
    return update * h + (1 - update) * n
