"""Cells written by hand, as for research code, once for all frameworks.

A step takes the framework's functions, the input maps of the step (one product over time, hoisted out of the loop), the
weights and the states; it returns the output and the new states. Maps of one argument are one product, split into
gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.own_cell import leaky_gate
from conformance.speed.row import Row
from rnnspec import Cell, cells

__all__ = ["ByHand", "Functions", "by_hand"]

Array = Any
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Functions:
    """The functions of a framework that the equations need; `split(a, count)` splits the last axis evenly."""

    tanh: Callable[[Array], Array]
    sigmoid: Callable[[Array], Array]
    maximum: Callable[[Array, Array], Array]
    where: Callable[[Array, Array, Array], Array]
    split: Callable[[Array, int], Any]


Step = Callable[[Functions, Array, Weights, Array, Array], tuple[Array, Array, Array]]


def lstm_peephole(f: Functions, x: Array, w: Weights, h: Array, c: Array) -> tuple[Array, Array, Array]:
    """Gers, Schraudolph and Schmidhuber (2002), section 3."""
    i, forget, g, o = f.split(x + h @ w["U"], 4)
    i, forget = f.sigmoid(i + w["p.i"] * c), f.sigmoid(forget + w["p.f"] * c)
    c = forget * c + i * f.tanh(g)
    h = f.sigmoid(o + w["p.o"] * c) * f.tanh(c)
    return h, h, c


def leaky(f: Functions, x: Array, w: Weights, h: Array, m: Array) -> tuple[Array, Array, Array]:
    """The cell of `conformance.own_cell`."""
    a, n, into_h = f.split(x, 3)
    a = f.sigmoid(a + h @ w["U.a"] + w["p.a"] * m)
    n = f.tanh(n + f.tanh(h @ w["U.k"]) @ w["U.n"])
    m = f.where(n > 0, a * m + (1 - a) * n, a * m - 0.5 * n)
    h = f.maximum(f.tanh(into_h + m @ w["U.h"]), w["p.floor"])
    return a * h + 0.25 * m, h, m


@dataclass(frozen=True)
class ByHand:
    """A cell's step, its weights `(in, out)`, with packed input weights under "W" and "b", and its states' widths."""

    step: Step
    weights: dict[str, Any]
    states: tuple[int, int]


ORDER: Mapping[Cell, tuple[Step, tuple[str, ...], tuple[str, ...]]] = {
    cells.lstm_peephole: (lstm_peephole, ("i", "f", "g", "o"), ("i", "f", "g", "o")),
    leaky_gate: (leaky, ("a", "n", "h"), ()),
}
"""The step of each cell, the order of its input maps, and the order of recurrent maps in one product."""

def by_hand(row: Row) -> ByHand:
    """The cell of a row, with the initial parameters of rnnspec."""
    step, inputs, packed = ORDER[row.declared]
    layer = row.network.layers[0]
    own = row.network.init(0)["layers"][0]["forward"]
    dtype = np.float64 if row.precision == "f64" else np.float32

    def turned(kind: str, names: tuple[str, ...]) -> Any:
        return np.ascontiguousarray(np.concatenate([own[kind][name] for name in names]).T.astype(dtype))

    weights = {"W": turned("W", inputs), "b": turned("b", inputs)}
    weights |= {"U": turned("U", packed)} if packed else {f"U.{name}": turned("U", (name,)) for name in own["U"]}
    weights |= {f"p.{name}": vector.astype(dtype) for name, vector in own["p"].items()}
    first, second = (layer.state_sizes[name] for name in row.declared.states)
    return ByHand(step, weights, (first, second))
