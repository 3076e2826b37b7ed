"""The parts of a row between resets: where each half starts afresh, and how far a step is from there."""

from __future__ import annotations

from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.contract.resets import Resets
from rnnspec.control.recurrence import reads_step
from rnnspec.layer import Layer
from rnnspec.running.padding import in_time, mask

__all__ = ["parts"]


def parts(arrays: Arrays, layer: Layer, half: str, resets: Array | None, lengths: Array | None) -> Resets | None:
    """The resets (time, batch) of a call as a half meets them; None where the call has none.

    The reverse half reads step t after step t + 1, so it starts afresh before step t where t + 1 begins a part.
    """
    if resets is None:
        return None
    real, here = mask(arrays, resets.shape[0], lengths), resets[:, :, None]
    here = here if real is None else here & real
    if half == "reverse":
        here = in_time(arrays, half, arrays.concatenate([here[1:], here[:1] & ~here[:1]], 0), lengths)
    counted = layer.gradient is not None and reads_step(layer.gradient, layer.cell.states)
    return Resets(here, _steps(arrays, here) if counted else None)


def _steps(arrays: Arrays, here: Array) -> Array:
    """The index of each step since the last reset of its row, counted by the framework's loop."""
    where, one = arrays.functions["where"], arrays.scalar(1.0)

    def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
        step = where(now["here"], arrays.scalar(0.0), carried["step"])
        return {"step": arrays.functions["add"](step, one)}, {"step": step}

    first = {"step": arrays.zeros((here.shape[1], 1))}
    counted: Array = arrays.scan(body, first, {"here": here}, here.shape[0], False)[1]["step"]
    return counted
