"""The kernels of PyTorch for layers: oneDNN's and ATen's on the CPU, cuDNN's on CUDA.

A row of `KERNELS` gives the cell of a kernel and the packing of the cell's maps. A user's cell with the same equations
has the same row, for any names and order of lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from backends.torch_backend.onednn import OneDnnLayer
from backends.torch_backend.packing import Packing
from rnnspec import cells
from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call, Kernel
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.derivation.correspondence import correspondence
from rnnspec.errors import UnsupportedError
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["KERNELS", "Named", "Row", "chosen", "find"]


@dataclass(frozen=True)
class Row:
    """A function of `torch` for one layer in one direction, and the names of the cell that it computes.

    `gates` are stacked in its weights; `inner` are the vectors in the recurrent bias, None where it has none. `states`
    are in the function's order. `projection` is the map after the output gate, which must be narrower than the gate. On
    the CPU the kernel is quicker than the lowered declaration for the dtypes `on_cpu`, where oneDNN multiplies them.
    `onednn` is the cell's number in oneDNN, None where it has none.
    """

    function: Callable[..., Any]
    cell: Cell
    gates: tuple[str, ...]
    inner: tuple[str | None, ...]
    states: tuple[str, ...] = ("h",)
    projection: str | None = None
    on_cpu: tuple[torch.dtype, ...] = ()
    onednn: int | None = None

    def pays(self, device: str, dtype: torch.dtype) -> bool:
        """Whether to take the kernel by default; on CUDA a loop of small calls is always slower."""
        return dtype in self.on_cpu and _multiplies(dtype) if device == "cpu" else self.projection is None


HALVES = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
"""What PyTorch answers whether oneDNN multiplies a dtype with the instructions of this processor."""


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies a dtype here; where not, PyTorch's kernel takes up to twice as long with gradients."""
    if dtype not in HALVES:
        return True
    return torch.backends.mkldnn.is_available() and bool(getattr(torch.ops.mkldnn, HALVES[dtype])())


KERNELS = (
    Row(torch.rnn_tanh, cells.elman, ("h",), (None,)),
    Row(torch.rnn_relu, cells.elman_relu, ("h",), (None,)),
    Row(torch.lstm, cells.lstm, ("i", "f", "g", "o"), (None,) * 4, ("h", "c"),
        on_cpu=(torch.float32, torch.bfloat16, torch.float16), onednn=2),
    Row(torch.lstm, cells.lstm_projected, ("i", "f", "g", "o"), (None,) * 4, ("h", "c"), "p"),
    Row(torch.gru, cells.gru, ("r", "z", "n"), (None, None, "n")),
)  # fmt: skip
"""Equations and gate orders: torch.nn.RNN, LSTM and GRU."""


@dataclass(frozen=True)
class Saved:
    """The leaves of the differentiated function (inputs, states, weights), and its results."""

    leaves: list[Array]
    results: tuple[Array, ...]


@dataclass(frozen=True)
class Named:
    """A row for a cell with its packing. Gradients are PyTorch's own gradients of the one function."""

    row: Row
    packing: Packing

    @property
    def path(self) -> str:
        """The path for `Result.path`."""
        return f"native: torch.{self.row.function.__name__}"

    def on(self, device: str, dtype: torch.dtype) -> Kernel:
        """The kernel for a device and a dtype: oneDNN's own layer where there is one."""
        kind = self.row.onednn
        if kind is None or device != "cpu" or dtype is not torch.float32 or not torch.backends.mkldnn.is_available():
            return self
        return OneDnnLayer(self.packing, kind)

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """One layer; where a pullback follows, the function's graph is kept."""
        names = self.packing.states
        states = [state[name] for name in names]
        if self.row.projection is not None and states[0].shape == states[1].shape:
            raise UnsupportedError(f"torch, {call.place}", "the kernel needs a projection onto fewer features",
                                   f"a projection onto as many, {states[0].shape[1]}",
                                   "let the backend choose its path")  # fmt: skip
        leaves = [inputs, *(a[None] for a in states), *self.packing.packed(params)]  # a state's first axis is the layer
        if call.pullback:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.set_grad_enabled(call.pullback):
            outputs, *final = self._call(leaves, call.pullback)
        found = dict(zip(names, (a.detach()[0] for a in final), strict=True))
        return LayerResult(outputs.detach(), found, self.path, Saved(leaves, (outputs, *final)))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The unpacked pullback of the one function."""
        saved: Saved = result.saved
        names = self.packing.states
        cotangents = [output_cotangent, *(state_cotangent[name][None] for name in names)]
        inputs, *found = torch.autograd.grad(saved.results, saved.leaves, cotangents, retain_graph=True)
        states = dict(zip(names, (a[0] for a in found[: len(names)]), strict=True))
        return Gradients(self.packing.unpacked(found[len(names) :]), inputs, states)

    def _call(self, leaves: list[Array], train: bool) -> tuple[Array, ...]:
        count = 1 + len(self.row.states)
        states = tuple(leaves[1:count]) if count > 2 else leaves[1]
        weights = leaves[count:]
        found: tuple[Array, ...] = self.row.function(leaves[0], states, weights, True, 1, 0.0, train, False, False)
        return found


@lru_cache(maxsize=256)
def find(cell: Cell) -> Named | None:
    """The kernel that computes a cell's equations, or None."""
    for row in KERNELS:
        names = correspondence(row.cell, cell)
        if names is not None:
            return Named(row, Packing.of(names, row.gates, row.inner, row.states, row.projection))
    return None


@lru_cache(maxsize=256)
def chosen(cell: Cell, device: str, dtype: torch.dtype, asked: bool) -> Kernel | str:
    """The kernel for a cell, or the reason why none runs; with `asked` it may be slower than the lowering."""
    found = find(cell)
    if found is None:
        return "no kernel of PyTorch computes the equations"
    if not asked and not found.row.pays(device, dtype):
        return "the lowered declaration is at least as fast here as the kernel"
    return found.on(device, dtype)
