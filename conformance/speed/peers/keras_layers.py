"""Keras' layer for a cell, batch-major, and its arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from conformance.speed.row import Row
from rnnspec import cells

__all__ = ["arrays", "build"]

LAYERS: dict[Any, tuple[Any, dict[str, Any]]] = {
    cells.lstm: (keras.layers.LSTM, {}),
    cells.gru: (keras.layers.GRU, {"reset_after": True}),
    cells.gru_reset_before: (keras.layers.GRU, {"reset_after": False}),
    cells.elman: (keras.layers.SimpleRNN, {}),
    cells.elman_relu: (keras.layers.SimpleRNN, {"activation": "relu"}),
}


def build(row: Row) -> Any:
    """The layer, built, returning all outputs and the final states."""
    kind, options = LAYERS[row.declared]
    dtype = "float64" if row.precision == "f64" else "float32"
    layer = kind(row.shape.hidden, return_sequences=True, return_state=True, dtype=dtype, **options)
    layer.build((row.shape.batch, row.shape.time, row.shape.inputs))
    return layer


def arrays(row: Row) -> tuple[list[Any], Any]:
    """Inputs and cotangent, (batch, time, feature)."""

    def major(a: Any) -> Any:
        return np.ascontiguousarray(a.swapaxes(0, 1))

    return [major(x) for x in row.inputs()], major(row.cotangent(row.network.features))
