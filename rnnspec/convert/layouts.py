"""The tables: for each side and cell, its name there and the maps in each tensor, gate by gate.

Sources: torch.nn.LSTM, GRU and RNN; keras.layers.LSTM, GRU and SimpleRNN; flax.nnx.LSTMCell, OptimizedLSTMCell, GRUCell
and SimpleCell; the operators LSTM, GRU and RNN of ONNX. The tests hold each row against what runs.
"""

from __future__ import annotations

from rnnspec import cells
from rnnspec.convert.layout import Layout

__all__ = ["FLAX", "KERAS", "ONNX", "TABLES", "TORCH"]


def gates(kind: str, order: str) -> str:
    """The maps of one kind in a gate order: `gates("W", "ifgo")` is `W.i W.f W.g W.o`."""
    return " ".join(f"{kind}.{gate}" for gate in order)


def _torch(order: str, second: str) -> dict[str, str]:
    return {"weight_ih": gates("W", order), "weight_hh": gates("U", order), "bias_ih": gates("b", order),
            "bias_hh": second}  # fmt: skip


TORCH = (
    Layout("RNN", cells.elman, _torch("h", "b.h"), {"nonlinearity": "tanh"}),
    Layout("RNN", cells.elman_relu, _torch("h", "b.h"), {"nonlinearity": "relu"}),
    Layout("LSTM", cells.lstm, _torch("ifgo", gates("b", "ifgo"))),
    Layout("LSTM", cells.lstm_projected, _torch("ifgo", gates("b", "ifgo")) | {"weight_hr": "U.p"}),
    Layout("GRU", cells.gru, _torch("rzn", "b.r b.z p.n")),
)


def _keras(order: str, second: str = "") -> dict[str, str]:
    return {"kernel": gates("W", order), "recurrent_kernel": gates("U", order),
            "bias": f"{gates('b', order)} {second}".strip()}  # fmt: skip


GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
KERAS = (
    Layout("SimpleRNN", cells.elman, _keras("h"), {"activation": "tanh"}, transposed=True),
    Layout("SimpleRNN", cells.elman_relu, _keras("h"), {"activation": "relu"}, transposed=True),
    Layout("LSTM", cells.lstm, _keras("ifgo"), GATED, transposed=True),
    Layout("GRU", cells.gru, _keras("zrn", "b.z b.r p.n"), GATED | {"reset_after": True}, transposed=True),
    Layout("GRU", cells.gru_reset_before, _keras("zrn"), GATED | {"reset_after": False}, transposed=True),
)

FUSED = {"dense_i.kernel": gates("W", "ifgo"), "dense_h.kernel": gates("U", "ifgo"), "dense_h.bias": gates("b", "ifgo")}
APART = {
    f"{side}{'f_' if side + gate == 'if' else gate}.{tensor}": f"{kind}.{gate}"
    for gate in "ifgo"
    for side, tensor, kind in (("i", "kernel", "W"), ("h", "kernel", "U"), ("h", "bias", "b"))
}
FLAX = (
    Layout("SimpleCell", cells.elman,
           {"dense_i.kernel": "W.h", "dense_h.kernel": "U.h", "dense_i.bias": "b.h"},
           {"activation_fn": "tanh", "residual": False}, transposed=True),
    Layout("SimpleCell", cells.elman_relu,
           {"dense_i.kernel": "W.h", "dense_h.kernel": "U.h", "dense_i.bias": "b.h"},
           {"activation_fn": "relu", "residual": False}, transposed=True),
    Layout("OptimizedLSTMCell", cells.lstm, FUSED, {"gate_fn": "sigmoid", "activation_fn": "tanh"}, transposed=True),
    Layout("LSTMCell", cells.lstm, APART, {"gate_fn": "sigmoid", "activation_fn": "tanh"}, transposed=True),
    Layout("GRUCell", cells.gru,
           {"dense_i.kernel": gates("W", "rzn"), "dense_h.kernel": gates("U", "rzn"),
            "dense_i.bias": gates("b", "rzn")},
           {"gate_fn": "sigmoid", "activation_fn": "tanh"}, transposed=True),
)  # fmt: skip


def _onnx(order: str, second: str) -> dict[str, str]:
    return {"W": gates("W", order), "R": gates("U", order), "B": f"{gates('b', order)} {second}"}


LSTM = {"activations": ("Sigmoid", "Tanh", "Tanh")}
GRU = {"activations": ("Sigmoid", "Tanh")}
ONNX = (
    Layout("RNN", cells.elman, _onnx("h", "b.h"), {"activations": ("Tanh",)}),
    Layout("RNN", cells.elman_relu, _onnx("h", "b.h"), {"activations": ("Relu",)}),
    Layout("LSTM", cells.lstm, _onnx("iofg", gates("b", "iofg")), LSTM),
    Layout("LSTM", cells.lstm_peephole, _onnx("iofg", gates("b", "iofg")) | {"P": gates("p", "iof")}, LSTM),
    Layout("GRU", cells.gru, _onnx("zrn", "b.z b.r p.n"), GRU | {"linear_before_reset": 1}),
    Layout("GRU", cells.gru_reset_before, _onnx("zrn", gates("b", "zrn")), GRU | {"linear_before_reset": 0}),
)

TABLES = {"torch.nn": TORCH, "Keras": KERAS, "Flax nnx": FLAX, "ONNX": ONNX}
