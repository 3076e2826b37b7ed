"""The peers: layers of other libraries that backends are compared with, for each backend and cell.

A peer's module has `make(row) -> call`, where `call(n)` computes the results of a backend's `run` or `pullback`
(outputs and final states, or all gradients, those of the inputs included) in the peer's own layout and its best mode.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from conformance.own_cell import leaky_gate
from rnnspec import Cell, cells

__all__ = ["PEERS", "Peer", "peers"]

BOTH = ("forward", "train")


@dataclass(frozen=True)
class Peer:
    """A peer: its module, the packages that it needs, the environment of its process, and its layer for each cell."""

    module: str
    needs: tuple[str, ...]
    layers: Mapping[Cell, str]
    modes: tuple[str, ...] = BOTH
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """The package that is not installed, or the empty string."""
        return ", ".join(name for name in self.needs if find_spec(name) is None)


TORCH = {cells.lstm: "torch.nn.LSTM", cells.gru: "torch.nn.GRU", cells.elman: "torch.nn.RNN",
         cells.elman_relu: "torch.nn.RNN"}  # fmt: skip
KERAS = {cells.lstm: "keras.layers.LSTM", cells.gru: "keras.layers.GRU", cells.gru_reset_before: "keras.layers.GRU",
         cells.elman: "keras.layers.SimpleRNN", cells.elman_relu: "keras.layers.SimpleRNN"}  # fmt: skip
FLAX = {cells.lstm: "flax.nnx.OptimizedLSTMCell", cells.gru: "flax.nnx.GRUCell", cells.elman: "flax.nnx.SimpleCell"}
ONNX = {cells.lstm: "onnxruntime LSTM", cells.gru: "onnxruntime GRU", cells.elman: "onnxruntime RNN"}

OWN = {cells.lstm_peephole: "lstm_peephole", leaky_gate: "leaky_gate"}
"""Cells that no framework ships; their peers are written by hand."""

HERE = "conformance.speed.peers"


def _own(how: str) -> Mapping[Cell, str]:
    return {cell: f"{name} by hand, {how}" for cell, name in OWN.items()}


PEERS: Mapping[str, tuple[Peer, ...]] = {
    "numpy": (Peer(f"{HERE}.onnxruntime_peer", ("onnxruntime", "onnx"), ONNX, ("forward",)),),
    "torch": (Peer(f"{HERE}.torch_peer", ("torch",), TORCH),
              Peer(f"{HERE}.torch_loop_peer", ("torch",), _own("a torch loop")),
              Peer(f"{HERE}.torch_compiled_loop_peer", ("torch",), _own("a torch loop, its step compiled"))),
    "tensorflow": (Peer(f"{HERE}.keras_tensorflow_peer", ("keras", "tensorflow"), KERAS,
                        env={"KERAS_BACKEND": "tensorflow"}),
                   Peer(f"{HERE}.keras_cell_peer", ("keras", "tensorflow"), _own("keras.layers.RNN"),
                        env={"KERAS_BACKEND": "tensorflow"})),
    "jax": (Peer(f"{HERE}.keras_jax_peer", ("keras", "jax"), KERAS, env={"KERAS_BACKEND": "jax"}),
            Peer(f"{HERE}.flax_peer", ("flax",), FLAX),
            Peer(f"{HERE}.jax_scan_peer", ("jax",), _own("lax.scan"))),
}  # fmt: skip


def peers(backend: str, cell: Cell, mode: str, named: Collection[str] = ()) -> tuple[Peer, ...]:
    """The peers of a backend for a cell, or for an equal cell of another name.

    A plugin has the peers whose layers its budgets name, `named`.
    """
    able = [peer for every in PEERS.values() for peer in every if cell in peer.layers and mode in peer.modes]
    own = PEERS.get(backend)
    return tuple(peer for peer in able if (peer.layers[cell] in named if own is None else peer in own))
