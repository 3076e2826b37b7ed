"""oneDNN's recurrent layer, called directly, forward and backward, without PyTorch's autograd.

PyTorch's own function calls it for float32 on the CPU; the numbers are equal to the bit.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from backends.torch_backend.packing import Packing
from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["OneDnnLayer"]

PATH = "native: torch.mkldnn_rnn_layer"

PULLBACK = torch.ops.aten.mkldnn_rnn_layer_backward.default


@dataclass(frozen=True)
class Saved:
    """The operands of the forward call: inputs, weights and states; outputs and states after it, the workspace."""

    operands: list[Array]
    after: tuple[Array, Array, Array]
    workspace: Array


@dataclass(frozen=True)
class OneDnnLayer:
    """The layer for a cell of two states with its packing; `kind` is the number of the layer in oneDNN."""

    packing: Packing
    kind: int

    @property
    def path(self) -> str:
        """The path for `Result.path`."""
        return PATH

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """One layer; oneDNN keeps its workspace only where PyTorch's gradients are enabled."""
        h, c = self.packing.states
        inner = inputs.new_zeros(())  # the recurrent bias, which the cell does not have
        operands = [inputs.contiguous(), *self.packing.below(params), inner, state[h][None].contiguous(),
                    state[c][None].contiguous()]  # fmt: skip
        if call.pullback:
            operands = [a.detach() for a in operands]
        width = operands[-1].shape[-1]
        with torch.enable_grad() if call.pullback else nullcontext():
            outputs, hidden, kept, workspace = torch.mkldnn_rnn_layer(
                *operands, False, (), self.kind, width, 1, True, False, False, call.pullback
            )
        saved = Saved(operands, (outputs, hidden, kept), workspace) if call.pullback else None
        return LayerResult(outputs, {h: hidden[0], c: kept[0]}, PATH, saved)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The unpacked pullback."""
        h, c = self.packing.states
        saved: Saved = result.saved
        width = saved.operands[-1].shape[-1]
        cotangents = (output_cotangent.contiguous(), state_cotangent[h][None].contiguous(),
                      state_cotangent[c][None].contiguous())  # fmt: skip
        inputs, W, U, b, _, hidden, kept = PULLBACK(
            *saved.operands, *saved.after, *cotangents, False, self.kind, width, 1, True, True, False,
            (), False, saved.workspace,
        )  # fmt: skip
        return Gradients(self.packing.apart(W, U, b), inputs, {h: hidden[0], c: kept[0]})
