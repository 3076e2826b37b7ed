"""The kernels of PyTorch for whole layers: oneDNN's and ATen's on the CPU, cuDNN's on CUDA.

A row of `KERNELS` says which cell a kernel computes and how it stores the cell's maps. A user's cell with the same
equations finds the same row, whatever its names and the order of its lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from rnnspec import cells
from rnnspec.arrays import Array
from rnnspec.cell import Cell
from rnnspec.correspondence import Names, correspondence
from rnnspec.errors import UnsupportedError
from rnnspec.kernel import Call
from rnnspec.results import Gradients, LayerResult
from rnnspec.tree import Tree

__all__ = ["KERNELS", "Named", "Row", "find"]


@dataclass(frozen=True)
class Row:
    """A function of `torch` for one layer in one direction, and the names of the cell that it computes.

    `gates` stand below one another in its weights; `inner` are the vectors in the bias of the recurrent side, None
    where there is none. `states` are in the function's order. `projection` is the map after the output gate, which
    must be narrower than it. On the CPU the kernel is quicker than the lowered declaration for the dtypes `on_cpu`: for
    those in which PyTorch hands the layer to oneDNN.
    """

    function: Callable[..., Any]
    cell: Cell
    gates: tuple[str, ...]
    inner: tuple[str | None, ...]
    states: tuple[str, ...] = ("h",)
    projection: str | None = None
    on_cpu: tuple[str, ...] = ()

    def pays(self, device: str, dtype: str) -> bool:
        """Whether to take the kernel unasked; on CUDA a loop of small calls cannot keep up with one."""
        return dtype in self.on_cpu if device == "cpu" else self.projection is None


KERNELS = (
    Row(torch.rnn_tanh, cells.elman, ("h",), (None,)),
    Row(torch.rnn_relu, cells.elman_relu, ("h",), (None,)),
    Row(torch.lstm, cells.lstm, ("i", "f", "g", "o"), (None,) * 4, ("h", "c"),
        on_cpu=("float32", "bfloat16", "float16")),
    Row(torch.lstm, cells.lstm_projected, ("i", "f", "g", "o"), (None,) * 4, ("h", "c"), "p"),
    Row(torch.gru, cells.gru, ("r", "z", "n"), (None, None, "n")),
)
"""Equations and gate orders: torch.nn.RNN, LSTM and GRU."""


@dataclass(frozen=True)
class Saved:
    """What was differentiated: the function's leaves (inputs, states, weights) and its results."""

    leaves: list[Array]
    results: tuple[Array, ...]


@dataclass(frozen=True)
class Named:
    """A row for a cell whose maps and states are named `names`. Gradients are PyTorch's own, of the one function."""

    row: Row
    names: Names

    @property
    def path(self) -> str:
        """What ran, as `Result.path` says it."""
        return f"native: torch.{self.row.function.__name__}"

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """One layer; where a pullback follows, the function's graph is kept."""
        states = [state[name] for name in self._all("state", self.row.states)]
        if self.row.projection is not None and states[0].shape == states[1].shape:
            raise UnsupportedError(f"torch, {call.place}", "the kernel must project onto fewer features",
                                   f"as many, {states[0].shape[1]}", "let the backend choose its path")  # fmt: skip
        leaves = [inputs, *(a[None] for a in states), *self._packed(params)]  # a state's first axis is the layer
        if call.pullback:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.set_grad_enabled(call.pullback):
            outputs, *final = self._call(leaves, call.pullback)
        found = dict(zip(self._all("state", self.row.states), (a.detach()[0] for a in final), strict=True))
        return LayerResult(outputs.detach(), found, self.path, Saved(leaves, (outputs, *final)))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of the one function, unpacked."""
        saved: Saved = result.saved
        count = len(self.row.states)
        names = self._all("state", self.row.states)
        cotangents = [output_cotangent, *(state_cotangent[name][None] for name in names)]
        inputs, *found = torch.autograd.grad(saved.results, saved.leaves, cotangents, retain_graph=True)
        states = dict(zip(names, (a[0] for a in found[:count]), strict=True))
        return Gradients(self._unpacked(found[count:]), inputs, states)

    def _call(self, leaves: list[Array], train: bool) -> tuple[Array, ...]:
        count = 1 + len(self.row.states)
        states = tuple(leaves[1:count]) if count > 2 else leaves[1]
        weights = leaves[count:]
        found: tuple[Array, ...] = self.row.function(leaves[0], states, weights, True, 1, 0.0, train, False, False)
        return found

    def _packed(self, params: Tree) -> list[Array]:
        row, biases = self.row, [params["b"][name] for name in self._all("input", self.row.gates)]
        inner = [
            torch.zeros_like(bias) if name is None else params["p"][self.names["vector", name]]
            for name, bias in zip(row.inner, biases, strict=True)
        ]
        weights = [
            torch.cat([params["W"][name] for name in self._all("input", row.gates)]),
            torch.cat([params["U"][name] for name in self._all("map", row.gates)]),
            torch.cat(biases),
            torch.cat(inner),
        ]
        return weights + ([] if row.projection is None else [params["U"][self.names["map", row.projection]]])

    def _unpacked(self, gradients: list[Array]) -> Tree:
        row, count = self.row, len(self.row.gates)
        W, U, b, inner = (g.chunk(count) for g in gradients[:4])
        found: Tree = {
            "W": dict(zip(self._all("input", row.gates), W, strict=True)),
            "b": dict(zip(self._all("input", row.gates), b, strict=True)),
            "U": dict(zip(self._all("map", row.gates), U, strict=True)),
            "p": {self.names["vector", name]: g for name, g in zip(row.inner, inner, strict=True) if name},
        }
        if row.projection is not None:
            found["U"][self.names["map", row.projection]] = gradients[4]
        return found

    def _all(self, op: str, names: tuple[str, ...]) -> list[str]:
        return [self.names[op, name] for name in names]


@lru_cache(maxsize=256)
def find(cell: Cell) -> Named | None:
    """The kernel that computes a cell's equations, or None."""
    matches = ((row, correspondence(row.cell, cell)) for row in KERNELS)
    return next((Named(row, names) for row, names in matches if names is not None), None)
