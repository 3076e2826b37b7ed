"""The table of published layers that are known by the names of their tensors: which maps of ours each tensor holds.

A layout names the axes of a tensor by letters, and writes axes that are one in the tensor in parentheses:

    h heads    g the maps that the tensor holds    o outputs of a map    i what a map of the state or of x reads
    d input features of a head; the maps of the input are block-diagonal

xlstm.sLSTMLayer: github.com/NX-AI/xlstm, xlstm/blocks/slstm/layer.py and cell.py, with `conv1d_kernel_size=0`. The cell
keeps kernel and bias in one of three forms: the external one, and those of its backends `vanilla` and `cuda`, which
were stored too. `fgate` feeds the input gate and `igate` the forget gate: a slip of the authors' that trained models
rely on, so that it stays (issue 98 there).

recurrentgemma.RGLRU: github.com/google-deepmind/recurrentgemma, recurrentgemma/torch/layers.py. Its gates are
block-diagonal layers that store (block, in, out). Its state starts at zeros where a document starts, as ours does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnspec import cells
from rnnspec.tracing.cell import Cell

__all__ = ["PUBLISHED", "Axes", "Published"]


@dataclass(frozen=True)
class Axes:
    """One tensor: the maps that it holds, and its axes."""

    maps: str
    axes: str


@dataclass(frozen=True)
class Published:
    """A published layer: the cell that it computes, and its tensors.

    Tensors whose names begin with a name of `outside` act before or after the recurrence; those of `refused` change it,
    and the text says how.
    """

    cell: Cell
    tensors: Mapping[str, Axes]
    outside: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def _slstm(kernel: str, bias: str) -> Published:
    blocks = {"fgate": "i", "igate": "f", "zgate": "z", "ogate": "o"}
    tensors = {f"{name}.weight": Axes(f"W.{gate}", "h o d") for name, gate in blocks.items()}
    tensors["slstm_cell._recurrent_kernel_"] = Axes("U.i U.f U.z U.o", kernel)
    tensors["slstm_cell._bias_"] = Axes("b.i b.f b.z b.o", bias)
    return Published(cells.slstm, tensors, ("group_norm.",),
                     {"conv1d.": "the gates i and f see a convolution of the input"})  # fmt: skip


def _gate(gate: str) -> dict[str, Axes]:
    names = {"i": "input_gate", "r": "a_gate"}
    return {f"{names[gate]}.w": Axes(f"U.{gate}", "h i o"), f"{names[gate]}.b": Axes(f"p.{gate}", "h o")}


PUBLISHED = {
    "xlstm.sLSTMLayer": _slstm("h i g o", "h g o"),
    "xlstm.sLSTMLayer.vanilla": _slstm("h (g o) i", "(g h o)"),
    "xlstm.sLSTMLayer.cuda": _slstm("h i (g o)", "(h g o)"),
    "recurrentgemma.RGLRU": Published(cells.rglru, _gate("i") | _gate("r") | {"a_param": Axes("p.a", "(h o)")}),
}
"""The published layers by name."""
