"""Simple recurrent networks: a map of the input, a map of the state, and a function of their sum."""

from rnnspec.primitives import relu, tanh
from rnnspec.tracing.cell import cell


@cell
def elman(x, R, h):
    """Elman (1990), section 2, with the tanh of today's use."""
    return tanh(x.h + R.h(h))


@cell
def elman_relu(x, R, h):
    """Le, Jaitly and Hinton (2015), section 3."""
    return relu(x.h + R.h(h))
