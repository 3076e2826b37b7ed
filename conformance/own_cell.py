"""A cell that no library ships, to test a user's own cell: `--cell conformance.own_cell:leaky_gate`."""

from rnnspec.primitives import maximum, sigmoid, tanh, where
from rnnspec.tracing.cell import cell, out


@cell
def leaky_gate(x, R, p, h, m):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: two states, a narrow map (width `R.k`), a learned floor, a choice, an output that is no state."""
    a = sigmoid(x.a + R.a(h) + p.a * m)
    k = tanh(R.k(h))
    n = tanh(x.n + R.n(k))
    m = where(n > 0, a * m + (1 - a) * n, a * m - 0.5 * n)
    h = maximum(tanh(x.h + R.h(m)), p.floor)
    return out(a * h + 0.25 * m), h, m
