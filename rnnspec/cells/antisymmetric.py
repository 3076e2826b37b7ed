"""Antisymmetric recurrences: a map minus its transpose neither grows nor shrinks a state, so it keeps its memory."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def antisymmetric_rnn(x, R, h, *, epsilon=0.1, gamma=0.1):
    """Chang et al. (2019), section 3, the AntisymmetricRNN: a step of Euler's method, of size epsilon.

    gamma damps. The paper searches over both numbers; torchrecurrent has epsilon=1 and gamma=0 by default.
    """
    return h + epsilon * tanh(x.h + R.h(h) - R.h.T(h) - gamma * h)


@cell
def antisymmetric_rnn_gated(x, R, h, *, epsilon=0.1, gamma=0.1):
    """Chang et al. (2019), section 3, the AntisymmetricRNN with gating: gate and new value share one recurrent map.

    torchrecurrent adds a second bias to the new value alone, where its documentation has it in both.
    """
    a = R.h(h) - R.h.T(h) - gamma * h
    z = sigmoid(x.z + a)
    return h + epsilon * z * tanh(x.h + a)


@cell
def lipschitz_rnn(x, R, h, *, epsilon=0.03, beta=0.75, gamma=0.001):
    """Erichson et al. (2021), section 3, the Lipschitz RNN, by Euler's method, with the numbers of the authors' README.

    Each of the two matrices A and W has a symmetric and an antisymmetric part, which beta weighs, and is damped by
    gamma. In the paper beta and gamma may differ for A and W; in the authors' code they are the same.
    """
    linear = beta * (R.a(h) - R.a.T(h)) + (1 - beta) * (R.a(h) + R.a.T(h)) - gamma * h
    inner = beta * (R.w(h) - R.w.T(h)) + (1 - beta) * (R.w(h) + R.w.T(h)) - gamma * h
    return h + epsilon * (linear + tanh(inner + x.h))
