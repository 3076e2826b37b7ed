"""What the scoreboard shows: the frameworks' own layers with their defaults, and the laws of each column."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.modules import ModuleBackend, load
from conformance.registry import Scope

HERE = "docs/scoreboard"


@dataclass(frozen=True)
class Group:
    """Layers that share a process: one framework, in one environment."""

    framework: str
    things: tuple[tuple[str, str, str], ...]  # its name, its `--module`, its `--as`
    environment: tuple[tuple[str, str], ...] = ()


def keras(backend: str) -> Group:
    names = {"SimpleRNN": "elman", "LSTM": "lstm", "GRU": "gru"}
    things = tuple((f"keras.layers.{name}", f"keras_defaults:{name}", cell) for name, cell in names.items())
    return Group(f"Keras on {backend}", things, (("KERAS_BACKEND", backend),))


GROUPS = (
    Group("torch.nn", (
        ("torch.nn.RNN", "torch.nn:RNN", "elman"), ("torch.nn.LSTM", "torch.nn:LSTM", "lstm"),
        ("torch.nn.GRU", "torch.nn:GRU", "gru"),
    )),
    keras("tensorflow"), keras("jax"), keras("torch"),
    Group("Flax nnx", (
        ("nnx.SimpleCell", "flax.nnx:SimpleCell", "elman"), ("nnx.LSTMCell", "flax.nnx:LSTMCell", "lstm"),
        ("nnx.OptimizedLSTMCell", "flax.nnx:OptimizedLSTMCell", "lstm"), ("nnx.GRUCell", "flax.nnx:GRUCell", "gru"),
    )),
    Group("ONNX Runtime", (
        ("RNN", "onnx_models:rnn", "elman"), ("LSTM", "onnx_models:lstm", "lstm"), ("GRU", "onnx_models:gru", "gru"),
    )),
)  # fmt: skip

RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "full": ("f32", ("lengths",)),
    "double": ("f64", ("lengths",)),
    "ragged": ("f32", ("empty_rows", "any_padding")),
    "empty": ("f32", ("any_padding",)),
    "dirty": ("f32", ("empty_rows",)),
}
"""For each run the precision, and the capabilities that are left out so that a column tests one property alone."""


@dataclass(frozen=True)
class Column:
    """Some laws in one run; `deep` takes deep networks with a reverse half instead of a single layer.

    `instead` are the laws for a layer without gradients.
    """

    name: str
    run: str
    laws: tuple[str, ...]
    deep: bool = False
    instead: tuple[str, ...] = ()


COLUMNS = (
    Column("values", "full", ("P01", "P01-plain")),
    Column("gradients", "full", ("P02", "P02-plain")),
    Column("initial states", "full", ("P48",), instead=("P11",)),
    Column("reverse", "full", ("P01", "P02-loss"), deep=True),
    Column("float64", "double", ("P01", "P02")),
    Column("NaN is kept", "full", ("P69",)),
    Column("lengths: states", "ragged", ("P33",)),
    Column("lengths: gradients", "ragged", ("P02",)),
    Column("lengths: reverse", "ragged", ("P01",), deep=True),
    Column("0 after the end", "ragged", ("P32",)),
    Column("length 0", "empty", ("P36",), instead=("P11",)),
    Column("NaN in padding", "dirty", ("P30",)),
)


def opened(spec: str, cell: str, run: str) -> tuple[ModuleBackend, Scope]:
    """A layer as a backend for one run, and the scope of its cell."""
    precision, lacks = RUNS[run]
    backend = load(spec, cell, precision, lacks)
    assert isinstance(backend, ModuleBackend)
    return backend, Scope(backend.capabilities.cells or ())
