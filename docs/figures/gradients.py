"""Draws the pictures of docs/gradients.md: gradients that vanish, explode, and carry.

    python docs/figures/gradients.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import rnnspec
from rnnspec import Last, Layer, Network, cells, initialisers, losses

HERE = Path(__file__).parent
STEPS, ROWS, INPUTS, HIDDEN = 100, 4, 2, 32
SMALL = initialisers.Normal(0.1)
LAYERS = {
    "vanish": Layer(cells.elman, HIDDEN, initial={"U": initialisers.Orthogonal(0.8), "W": SMALL}),
    "explode": Layer(cells.elman_relu, HIDDEN, initial={"U": initialisers.Identity(1.2), "W": SMALL}),
    "carry": Layer(cells.lstm, HIDDEN, initial={
        "U": initialisers.Normal(0.01), "W": SMALL, "b": initialisers.Zeros(),
        "b.f": initialisers.Chrono(200), "b.i": initialisers.Opposite("b.f", initialisers.Chrono(200)),
    }),
}  # fmt: skip


def flow(layer: Layer) -> rnnspec.GradientFlow:
    """The flow through one layer of which the last step is read, on inputs and targets of a fixed seed."""
    net = Network(INPUTS, [layer], Last(), loss=losses.SquaredError())
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(STEPS, ROWS, INPUTS)), rng.normal(size=(ROWS, layer.width))
    return rnnspec.gradient_flow(rnnspec.get_backend("numpy"), net, net.init(0), inputs, targets)


if __name__ == "__main__":
    for name, layer in LAYERS.items():
        flow(layer).plot().savefig(HERE / f"gradients-{name}.png", dpi=90)
