"""Linear recurrences: their gates see the input alone, so a step is linear in the state."""

from rnnspec.primitives import sigmoid
from rnnspec.tracing.cell import cell


@cell
def mingru(x, h):
    """Feng et al. (2024), section 3.1: gates that see the input only."""
    z = sigmoid(x.z)
    return (1 - z) * h + z * x.h
