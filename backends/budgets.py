"""The budgets of the backends: training steps on the CPU, relative to the layers of their own frameworks.

They are the ratios that `make bench` measures, plus a margin for a noisy machine. A slower run fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from rnnspec import cells
from rnnspec.contract.budget import Budget

__all__ = ["BUDGETS"]

LSTM, GRU, ELMAN = cells.lstm, cells.gru, cells.elman

MEASURED = {
    "torch": ((LSTM, "torch.nn.LSTM", 1.1), (GRU, "torch.nn.GRU", 0.95), (ELMAN, "torch.nn.RNN", 1.0)),
    "jax": (
        (LSTM, "keras.layers.LSTM", 1.0), (GRU, "keras.layers.GRU", 1.0), (ELMAN, "keras.layers.SimpleRNN", 1.1),
        (LSTM, "flax.nnx.OptimizedLSTMCell", 1.0), (GRU, "flax.nnx.GRUCell", 1.0), (ELMAN, "flax.nnx.SimpleCell", 1.0),
    ),
    "tensorflow": (
        (LSTM, "keras.layers.LSTM", 0.95), (GRU, "keras.layers.GRU", 0.95), (ELMAN, "keras.layers.SimpleRNN", 0.8),
    ),
}  # fmt: skip

BUDGETS: Mapping[str, tuple[Budget, ...]] = {
    name: tuple(Budget(cell, "train", peer, ratio) for cell, peer, ratio in rows)
    for name, rows in MEASURED.items()
}
"""Budgets by the name of the backend."""
