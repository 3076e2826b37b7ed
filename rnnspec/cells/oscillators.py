"""Oscillators: a unit is a position y and a velocity z, and a step is one of a differential equation."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def cornn(x, R, y, z, *, dt=0.042, gamma=2.7, epsilon=4.7):
    """Rusch and Mishra (2021), equation 3, the coRNN: oscillators that a map couples, with the old z in the damping.

    The paper also has the new z in the damping, by an implicit step; the authors' code has the old one. The numbers
    are those of that code for the digits, pixel by pixel.
    """
    z = z + dt * (tanh(x.z + R.y(y) + R.z(z)) - gamma * y - epsilon * z)
    return y + dt * z, z


@cell
def unicornn(x, p, y, z, *, dt=0.19, alpha=30.65):
    """Rusch and Mishra (2021b), section 2, UnICORNN: oscillators without damping that do not see one another.

    Each has a step size of its own, which it learns. The authors' code adds dropout between layers; the recurrence is
    the same. The numbers are those of the authors' code for the digits, pixel by pixel in a random order.
    """
    step = dt * sigmoid(p.c)
    z = z - step * (tanh(x.z + p.y * y) + alpha * y)
    return y + step * z, z
