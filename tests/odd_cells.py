"""Cells of which no law may suppose anything: no zero at zero, no bounds, no smoothness, and not that all is read."""

from rnnspec.primitives import (
    exp,
    log,
    logsumexp,
    maximum,
    relu,
    remainder,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
)
from rnnspec.tracing.cell import cell, out


@cell
def step_at_zero(x, R, h):
    """Zeros give no zeros, and stand on the edge of a choice."""
    a = x.h + R.h(h)
    return where(a >= 0, a + 0.5, sigmoid(a))


@cell
def chosen_by_state(x, h):
    """No recurrent map; the state chooses, and 0 is on its edge."""
    return where(h > 0, 0.5 * h + x.a, x.b - 1)


@cell
def exponential(x, R, h):
    """Positive, and nowhere odd."""
    return exp(-softplus(x.h + R.h(h)))


@cell
def logarithm(x, R, h):
    """A logarithm of what is at least 1."""
    return log(1.5 + (x.h + R.h(h)) * (x.h + R.h(h)))


@cell
def growing(x, h):
    """Twice as much in each step, and more."""
    return 2 * h + x.h


@cell
def adding(x, R, h, s):
    """A state that no equation reads but its own, without a bound."""
    h = tanh(x.h + R.h(h))
    return h, s + h * h


@cell
def unread(x, h, s):
    """States that nobody reads, and an output that is none."""
    return out(relu(x.o) + 1), tanh(x.h), x.s * x.s


@cell
def widths(x, R, h, k, m):
    """Three widths, and a map from each to the next."""
    h = tanh(x.h + R.a(m))
    k = sigmoid(R.b(h))
    m = tanh(R.c(k) + x.m)
    return out(R.o(k)), h, k, m


@cell
def constant(x, R, p, h):
    """Constants and vectors alone, but for the state."""
    return out(p.o * p.o + 0.25 + 0 * h), 0.5 * h + 1


@cell
def summed(x, R, h, n):
    """A state of one number, and totals."""
    n = 0.5 * n + total(x.n)
    h = tanh(x.h + R.h(h)) / (1 + n * n)
    return h, n


@cell
def without_inputs(R, p, h):
    """It reads no input."""
    return tanh(R.h(h) + p.h)


@cell
def without_anything(h):
    """No map, no input, no vector."""
    return 0.75 * h + 0.25


@cell
def normed(x, R, h):
    """Divided by a norm, and by a sum of exponentials."""
    a = x.h + R.h(h)
    return exp(a - logsumexp(a)) + a / sqrt(1 + total(a * a))


@cell
def sawtooth(x, R, h):
    """Jumps."""
    return remainder(x.h + R.h(h), 1.0)


@cell
def kinked(x, R, p, h):
    """Kinks at zeros, of equals too."""
    return maximum(x.h + R.h(h), 0 * h) - maximum(p.a * h, p.a * h)


ODD = (step_at_zero, chosen_by_state, exponential, logarithm, growing, adding, unread, widths, constant, summed,
       without_inputs, without_anything, normed, sawtooth, kinked)  # fmt: skip
