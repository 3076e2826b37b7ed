"""The tables of conversion: for each framework and cell, its name there and the maps in each tensor, gate by gate.

Sources: torch.nn.LSTM, GRU and RNN; keras.layers.LSTM, GRU and SimpleRNN; flax.nnx.LSTMCell, OptimizedLSTMCell, GRUCell
and SimpleCell; the operators LSTM, GRU and RNN of ONNX; that of torchrecurrent is in a file of its own. The tests
compare each row with the running framework.
"""

from __future__ import annotations

from typing import Any

from rnnspec import cells
from rnnspec.convert.layout import Layout
from rnnspec.convert.torchrecurrent_layouts import TORCHRECURRENT
from rnnspec.tracing.cell import Cell

__all__ = ["FLAX", "KERAS", "LINEN", "ONNX", "TABLES", "TORCH", "TORCHRECURRENT"]


def gates(kind: str, order: str) -> str:
    """The maps of one kind in a gate order: `gates("W", "ifgo")` is `W.i W.f W.g W.o`."""
    return " ".join(f"{kind}.{gate}" for gate in order)


def _torch(order: str, second: str) -> dict[str, str]:
    return {"weight_ih": gates("W", order), "weight_hh": gates("U", order), "bias_ih": gates("b", order),
            "bias_hh": second}  # fmt: skip


BIASES = ("bias_ih", "bias_hh")
TORCH = (
    Layout("RNN", cells.elman, _torch("h", "b.h"), {"nonlinearity": "tanh"}, optional=BIASES),
    Layout("RNN", cells.elman_relu, _torch("h", "b.h"), {"nonlinearity": "relu"}, optional=BIASES),
    Layout("LSTM", cells.lstm, _torch("ifgo", gates("b", "ifgo")), optional=BIASES),
    Layout("LSTM", cells.lstm_projected, _torch("ifgo", gates("b", "ifgo")) | {"weight_hr": "U.p"}, optional=BIASES),
    Layout("GRU", cells.gru, _torch("rzn", "b.r b.z p.n"), optional=BIASES),
)


def _keras(kind: str, cell: Cell, order: str, second: str = "", **options: Any) -> Layout:
    tensors = {"kernel": gates("W", order), "recurrent_kernel": gates("U", order),
               "bias": f"{gates('b', order)} {second}".strip()}  # fmt: skip
    return Layout(kind, cell, tensors, options, transposed=True, optional=("bias",))


GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
KERAS = (
    _keras("SimpleRNN", cells.elman, "h", activation="tanh"),
    _keras("SimpleRNN", cells.elman_relu, "h", activation="relu"),
    _keras("LSTM", cells.lstm, "ifgo", **GATED),
    _keras("GRU", cells.gru, "zrn", "b.z b.r p.n", **GATED, reset_after=True),
    _keras("GRU", cells.gru_reset_before, "zrn", **GATED, reset_after=False),
)


def _flax(kind: str, cell: Cell, tensors: dict[str, str], **options: Any) -> Layout:
    return Layout(kind, cell, tensors, options, transposed=True)


def _dense(order: str, biased: str) -> dict[str, str]:
    return {"dense_i.kernel": gates("W", order), "dense_h.kernel": gates("U", order),
            f"{biased}.bias": gates("b", order)}  # fmt: skip


APART = {
    f"{side}{'f_' if side + gate == 'if' else gate}.{tensor}": f"{kind}.{gate}"
    for gate in "ifgo"
    for side, tensor, kind in (("i", "kernel", "W"), ("h", "kernel", "U"), ("h", "bias", "b"))
}
"""One Linear for each map; that of W.f is named `if_`, since `if` is a keyword of Python."""
FUNCTIONS = {"gate_fn": "sigmoid", "activation_fn": "tanh"}
FLAX = (
    _flax("SimpleCell", cells.elman, _dense("h", "dense_i"), activation_fn="tanh", residual=False),
    _flax("SimpleCell", cells.elman_relu, _dense("h", "dense_i"), activation_fn="relu", residual=False),
    _flax("OptimizedLSTMCell", cells.lstm, _dense("ifgo", "dense_h"), **FUNCTIONS),
    _flax("LSTMCell", cells.lstm, APART, **FUNCTIONS),
    _flax("GRUCell", cells.gru, _dense("rzn", "dense_i"), **FUNCTIONS),
)


def _linen(cell: Cell, inputs: str, maps: str, **more: str) -> dict[str, str]:
    """Dense layers named `ii`, `if`, `hi` and so on after their gates; `inputs` and `maps` name those with a bias."""
    order = cell.graph.names("input")
    tensors = {f"i{gate}.kernel": f"W.{gate}" for gate in order} | {f"h{gate}.kernel": f"U.{gate}" for gate in order}
    tensors |= {f"i{gate}.bias": f"b.{gate}" for gate in inputs} | {f"h{gate}.bias": f"b.{gate}" for gate in maps}
    return tensors | more


LINEN = (
    _flax("SimpleCell", cells.elman, {"i.kernel": "W.h", "h.kernel": "U.h", "i.bias": "b.h"}, activation_fn="tanh",
          residual=False),
    _flax("SimpleCell", cells.elman_relu, {"i.kernel": "W.h", "h.kernel": "U.h", "i.bias": "b.h"},
          activation_fn="relu", residual=False),
    _flax("LSTMCell", cells.lstm, _linen(cells.lstm, "", "ifgo"), **FUNCTIONS),
    _flax("OptimizedLSTMCell", cells.lstm, _linen(cells.lstm, "", "ifgo"), **FUNCTIONS),
    _flax("GRUCell", cells.gru, _linen(cells.gru, "rzn", "", **{"hn.bias": "p.n"}), **FUNCTIONS),
    _flax("MGUCell", cells.ugrnn, {"if.kernel": "W.g", "in.kernel": "W.n", "hf.kernel": "U.g", "hn.kernel": "U.n",
                                   "if.bias": "b.g", "in.bias": "b.n"}, **FUNCTIONS, reset_gate=False),
)  # fmt: skip
"""The cells of flax.linen, which are read only. Its MGUCell without a reset gate is the UGRNN."""


def _onnx(kind: str, cell: Cell, order: str, second: str, *activations: str, **options: Any) -> Layout:
    tensors = {"W": gates("W", order), "R": gates("U", order), "B": f"{gates('b', order)} {second}"}
    tensors |= {"P": gates("p", "iof")} if cell is cells.lstm_peephole else {}
    return Layout(kind, cell, tensors, {"activations": activations, **options}, optional=("B",))


ONNX = (
    _onnx("RNN", cells.elman, "h", "b.h", "Tanh"),
    _onnx("RNN", cells.elman_relu, "h", "b.h", "Relu"),
    _onnx("LSTM", cells.lstm, "iofg", gates("b", "iofg"), "Sigmoid", "Tanh", "Tanh"),
    _onnx("LSTM", cells.lstm_peephole, "iofg", gates("b", "iofg"), "Sigmoid", "Tanh", "Tanh"),
    _onnx("GRU", cells.gru, "zrn", "b.z b.r p.n", "Sigmoid", "Tanh", linear_before_reset=1),
    _onnx("GRU", cells.gru_reset_before, "zrn", gates("b", "zrn"), "Sigmoid", "Tanh", linear_before_reset=0),
)

TABLES = {"torch.nn": TORCH, "Keras": KERAS, "Flax nnx": FLAX, "ONNX": ONNX, "torchrecurrent": TORCHRECURRENT}
"""The tables by framework or format."""
