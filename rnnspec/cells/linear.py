"""Linear recurrences: their gates see the input alone, so a step is linear in the state."""

from rnnspec.primitives import exp, number, sigmoid, softplus, sqrt, where
from rnnspec.tracing.cell import cell


@cell
def mingru(x, h):
    """Feng et al. (2024), section 3.1: gates that see the input only."""
    z = sigmoid(x.z)
    return (1 - z) * h + z * x.h


@cell
def mingru_log(x, h):
    """Feng et al. (2024), appendix B.3, the log-space version of minGRU, which most implementations run.

    The new value is positive: it first passes a function g. In log space the paper's code also needs a state above 0,
    and passes the first one through g; this recurrence takes any state as it is.
    """
    z = sigmoid(x.z)
    n = where(x.h >= 0, x.h + 0.5, sigmoid(x.h))
    return (1 - z) * h + z * n


@cell
def minlstm(x, h):
    """Feng et al. (2024), section 3.2: forget and input gate that add up to 1, and no tanh.

    Implementations in log space also pass x.h through a function that is positive; they compute other numbers.
    """
    f = sigmoid(x.f)
    i = sigmoid(x.i)
    return f / (f + i) * h + i / (f + i) * x.h


@cell
def hgrn(x, p, h):
    """Qin, Yang and Zhong (2023), the recurrence of the HGRN: the forget gate has a learned lower bound b.

    The paper computes the bounds of all layers by one cumulative softmax; here each layer learns its own. The paper's
    state is complex and turns by a learned angle; this one is real, as in later versions. The output gate and the norm
    of the paper's layer stand outside the recurrence.
    """
    b = sigmoid(p.b)
    f = b + (1 - b) * sigmoid(x.f)
    return f * h + (1 - f) * (x.c * sigmoid(x.c))


@cell
def rglru(x, R, p, h, age, *, c=8):
    """De et al. (2024), section 2.4, equations 1-4, the RG-LRU of Griffin; age counts steps, and is 0 at a start.

    At a start a is 0, so that h is not read and the input is not scaled, as in the authors' code. With heads the maps
    of the gates are block-diagonal, as there. The base of a is sigmoid(-p.a), as in the code and the paper's appendix;
    its section 2.4 has sigmoid(p.a). The code also bounds the derivative of the root, by 1000.
    """
    r = sigmoid(R.r(x) + p.r)
    i = sigmoid(R.i(x) + p.i)
    a = where(number(age) > 0, exp(-c * softplus(p.a) * r), 0)
    return a * h + sqrt(1 - a * a) * (i * x), age + 1
