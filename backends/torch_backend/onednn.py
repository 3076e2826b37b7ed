"""oneDNN's recurrent layer, called directly, forward and backward: no graph is recorded and none is walked.

It is what PyTorch's own function calls for float32 on the CPU; the numbers are the same to the bit.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from backends.torch_backend.packing import Packing
from rnnspec.arrays import Array
from rnnspec.cell import Cell
from rnnspec.kernel import Call
from rnnspec.results import Gradients, LayerResult
from rnnspec.tree import Tree

__all__ = ["OneDnnLayer"]

PATH = "native: torch.mkldnn_rnn_layer"

PULLBACK = torch.ops.aten.mkldnn_rnn_layer_backward.default


@dataclass(frozen=True)
class Saved:
    """The operands of the forward call: inputs and weights, states before, outputs and states after, the workspace."""

    operands: tuple[Array, ...]
    before: tuple[Array, Array]
    after: tuple[Array, Array, Array]
    workspace: Array


@dataclass(frozen=True)
class OneDnnLayer:
    """The layer for a cell of two states whose maps are packed so; `kind` is its number among oneDNN's."""

    packing: Packing
    kind: int

    @property
    def path(self) -> str:
        """What ran, as `Result.path` says it."""
        return PATH

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """One layer; oneDNN keeps its workspace only where PyTorch's gradients are enabled."""
        h, c = self.packing.states
        operands = (inputs.detach().contiguous(), *self.packing.packed(params))
        before = (state[h].detach()[None].contiguous(), state[c].detach()[None].contiguous())
        width = before[0].shape[-1]
        with torch.enable_grad() if call.pullback else nullcontext():
            outputs, hidden, kept, workspace = torch.mkldnn_rnn_layer(
                *operands, *before, False, (), self.kind, width, 1, True, False, False, call.pullback
            )
        final = {h: hidden[0], c: kept[0]}
        saved = Saved(operands, before, (outputs, hidden, kept), workspace) if call.pullback else None
        return LayerResult(outputs, final, PATH, saved)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback, unpacked."""
        h, c = self.packing.states
        saved: Saved = result.saved
        width = saved.before[0].shape[-1]
        cotangents = (output_cotangent.contiguous(), state_cotangent[h][None].contiguous(),
                      state_cotangent[c][None].contiguous())  # fmt: skip
        inputs, W, U, b, inner, hidden, kept = PULLBACK(
            *saved.operands, *saved.before, *saved.after, *cotangents, False, self.kind, width, 1, True, True, False,
            (), False, saved.workspace,
        )  # fmt: skip
        return Gradients(self.packing.unpacked([W, U, b, inner]), inputs, {h: hidden[0], c: kept[0]})
