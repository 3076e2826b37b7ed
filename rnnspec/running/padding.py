"""Padding and time: the real steps, the selection of values there, and the order of steps of the reverse half.

Padding is selected away, never multiplied by 0, so that NaN in it has no effect.
"""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.network import Network
from rnnspec.output import Last

__all__ = ["counted", "in_time", "mask", "selected"]


def mask(arrays: Arrays, steps: int, lengths: Array | None) -> Array | None:
    """The mask (time, batch, 1), true at real steps; None where all steps are real."""
    if lengths is None:
        return None
    return arrays.steps(steps)[:, None, None] < lengths[None, :, None]


def counted(arrays: Arrays, net: Network, steps: int, batch: int, lengths: Array | None) -> Array | None:
    """The mask of what counts in a loss: real steps, or with `Last()` rows (batch, 1) with a step. None: all count."""
    if not isinstance(net.read, Last):
        return mask(arrays, steps, lengths)
    if steps == 0:
        return arrays.steps(batch)[:, None] < 0
    return None if lengths is None else lengths[:, None] > 0


def selected(arrays: Arrays, real: Array | None, a: Array) -> Array:
    """The values where `real` is true, zeros elsewhere."""
    return a if real is None else arrays.functions["where"](real, a, arrays.scalar(0.0))


def in_time(arrays: Arrays, half: str, values: Array, lengths: Array | None) -> Array:
    """The values in processing order, or back in time order: for the reverse half, each row's real steps reversed."""
    if half == "forward":
        return values
    steps = values.shape[0]
    if steps == 0 or values.shape[1] == 0:
        return values
    if lengths is None:
        return arrays.flip(values)
    t, n = arrays.steps(steps)[:, None], lengths[None, :]
    return arrays.take(values, arrays.functions["where"](t < n, n - 1 - t, t))
