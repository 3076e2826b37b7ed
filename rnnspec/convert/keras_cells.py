"""The cells of Keras' recurrent layers, for any of its activations.

>>> hard = row_of("LSTM", "tanh", "hard_sigmoid", True)
>>> hard.cell.name, hard.tensors["kernel"]
('lstm_hard_sigmoid', 'W.i W.f W.g W.o')
>>> row_of("GRU", "tanh", "sigmoid", True).cell.name
'gru'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from rnnspec.convert.activations import ACTIVATIONS, Activation, leaky_relu
from rnnspec.convert.layout import Layout, matching_layout
from rnnspec.convert.layouts import KERAS
from rnnspec.tracing.cell import cell

__all__ = ["activation", "row_of"]

Equations = Callable[..., Any]
OTHER_NAMES = {"swish": "silu", "hard_silu": "hard_swish"}
USUAL = ("sigmoid", "tanh")
DEFAULTS = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def linear(a: Any) -> Any:
    """`a`."""
    return a


def activation(name: Any, generation: int = 3) -> Activation | None:
    """The function that a version of Keras means by a name, or None where there is none of one vector."""
    if name in (None, "linear"):
        return linear
    if name == "leaky_relu":
        return leaky_relu(0.2)
    if name == "hard_sigmoid" and generation < 3:
        return ACTIVATIONS["hard_sigmoid_keras2"]
    return ACTIVATIONS.get(OTHER_NAMES.get(name, name)) if isinstance(name, str) else None


@lru_cache(maxsize=64)
def row_of(kind: str, squash: str, gate: str, reset_after: bool, generation: int = 3) -> Layout | None:
    """The row of a layer with these activations, or None where one of them is not known."""
    options = {"activation": squash, "recurrent_activation": gate, "reset_after": reset_after}
    row = matching_layout(KERAS, kind, options)
    if row is not None:
        return row
    usual = matching_layout(KERAS, kind, options | DEFAULTS)
    functions = activation(squash, generation), activation(gate, generation)
    if usual is None or functions[0] is None or functions[1] is None:
        return None
    equations = MAKERS[usual.cell.name](functions[0], functions[1])
    names = functions[1].__name__, functions[0].__name__
    equations.__name__ = "_".join([usual.cell.name, *(name.strip("_") for name in names if name not in USUAL)])
    return replace(usual, cell=cell(equations), options=options)


def _simple(squash: Activation, _: Activation) -> Equations:
    def equations(x: Any, R: Any, h: Any) -> Any:
        return squash(x.h + R.h(h))

    return equations


def _lstm(squash: Activation, gate: Activation) -> Equations:
    def equations(x: Any, R: Any, h: Any, c: Any) -> Any:
        i = gate(x.i + R.i(h))
        f = gate(x.f + R.f(h))
        g = squash(x.g + R.g(h))
        o = gate(x.o + R.o(h))
        c = f * c + i * g
        return o * squash(c), c

    return equations


def _gru(squash: Activation, gate: Activation) -> Equations:
    def equations(x: Any, R: Any, p: Any, h: Any) -> Any:
        r = gate(x.r + R.r(h))
        z = gate(x.z + R.z(h))
        n = squash(x.n + r * (R.n(h) + p.n))
        return (1 - z) * n + z * h

    return equations


def _gru_reset_before(squash: Activation, gate: Activation) -> Equations:
    def equations(x: Any, R: Any, h: Any) -> Any:
        r = gate(x.r + R.r(h))
        z = gate(x.z + R.z(h))
        n = squash(x.n + R.n(r * h))
        return (1 - z) * n + z * h

    return equations


MAKERS: dict[str, Callable[[Activation, Activation], Equations]] = {
    "elman": _simple, "lstm": _lstm, "gru": _gru, "gru_reset_before": _gru_reset_before,
}  # fmt: skip
"""What makes the equations of each cell of the table, for any two activations."""
