"""Padding and time: which steps are real, what is selected there, and a reversed direction's order of steps.

All of it is by selection, never by multiplying, so that NaN in the padding touches nothing.
"""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.network import Network
from rnnspec.output import Last

__all__ = ["counted", "in_time", "mask", "selected"]


def mask(arrays: Arrays, steps: int, lengths: Array | None) -> Array | None:
    """(time, batch, 1), true at the real steps; None where all are."""
    if lengths is None:
        return None
    return arrays.steps(steps)[:, None, None] < lengths[None, :, None]


def counted(arrays: Arrays, net: Network, steps: int, batch: int, lengths: Array | None) -> Array | None:
    """True at what counts: real steps, or with `Last()` rows (batch, 1) that have one. None where all do."""
    if not isinstance(net.read, Last):
        return mask(arrays, steps, lengths)
    if steps == 0:
        return arrays.steps(batch)[:, None] < 0
    return None if lengths is None else lengths[:, None] > 0


def selected(arrays: Arrays, real: Array | None, a: Array) -> Array:
    """The values where something is real, zeros elsewhere."""
    return a if real is None else arrays.functions["where"](real, a, arrays.scalar(0.0))


def in_time(arrays: Arrays, half: str, values: Array, lengths: Array | None) -> Array:
    """From time to processing order or back: the reverse half turns each row's real steps around."""
    if half == "forward":
        return values
    steps = values.shape[0]
    if steps == 0 or values.shape[1] == 0:
        return values
    if lengths is None:
        return arrays.flip(values)
    t, n = arrays.steps(steps)[:, None], lengths[None, :]
    return arrays.take(values, arrays.functions["where"](t < n, n - 1 - t, t))
