"""What stands on the scoreboard: the frameworks' own layers with their defaults, and the columns, each some laws."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.modules import ModuleBackend, load
from conformance.registry import Scope

HERE = "docs/scoreboard"


@dataclass(frozen=True)
class Group:
    """Things that share a process: one framework, in one environment."""

    framework: str
    things: tuple[tuple[str, str, str], ...]  # what it is called, what `--module` names, what `--as` names
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
"""In which precision and without what a thing is judged, so that a column speaks of one matter alone."""


@dataclass(frozen=True)
class Column:
    """Some laws in one run; `deep` takes the label of the deep network, with a reverse half, and not that of the cell.

    `instead` are laws for a thing without gradients.
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
    Column("NaN comes out", "full", ("P69",)),
    Column("lengths: states", "ragged", ("P33",)),
    Column("lengths: gradients", "ragged", ("P02",)),
    Column("lengths: reverse", "ragged", ("P01",), deep=True),
    Column("0 behind the end", "ragged", ("P32",)),
    Column("length 0", "empty", ("P36",), instead=("P11",)),
    Column("NaN in padding", "dirty", ("P30",)),
)


def opened(spec: str, cell: str, run: str) -> tuple[ModuleBackend, Scope]:
    """A thing as a backend for one run, and the scope of its cell."""
    precision, lacks = RUNS[run]
    backend = load(spec, cell, precision, lacks)
    assert isinstance(backend, ModuleBackend)
    return backend, Scope(backend.capabilities.cells or ())
