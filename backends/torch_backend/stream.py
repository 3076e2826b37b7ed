"""A module that keeps the state of a network between its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch.nn.utils.rnn import PackedSequence

from backends.torch_backend.tracing import is_traced
from rnnspec.contract.arrays import Array
from rnnspec.embedding import Embedding
from rnnspec.errors import ShapeError, UnsupportedError
from rnnspec.interface import validation
from rnnspec.output import Last
from rnnspec.running.beginning import begun
from rnnspec.tree import Tree, flat, tree_map

__all__ = ["NetworkStream"]

CALL = "torch.as_layer(net).stream()(...)"

class NetworkStream(torch.nn.Module):  # type: ignore[misc]  # PyTorch's types are not read
    """A layer that keeps its state, made by `layer.stream()`; the parameters are the layer's.

    Call it with one step (batch, feature), of class numbers (batch,), or with a window of steps in the layout of the
    layer, and optionally with lengths and resets as the layer takes them; the resets of one step are (batch,). It
    returns the outputs: of one step (batch, feature), of a window in its layout. The next call goes on from the final
    state, without a gradient to this call. `state` is a tree as the layer returns it, None before the first call; you
    can set it.

    Raises what the layer raises, ShapeError where the number of rows changes, and UnsupportedError in a tracer; the
    state is then as it was.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        validation.forward_only(layer.backend(), "as_layer(net).stream", layer.net)
        self.layer = layer
        self.state: Tree = None

    def forward(self, inputs: Any, lengths: Array | None = None, resets: Any = None) -> Any:
        """The outputs of one step, or of a window of steps."""
        if is_traced():
            raise UnsupportedError(CALL, "a trace must have the state as an argument", "a module that keeps its state",
                                   "trace the layer, with a state in and out")  # fmt: skip
        one = not isinstance(inputs, PackedSequence) and len(getattr(inputs, "shape", ())) == self._axes
        axis = int(self.layer.batch_first)
        given = _with_time(inputs, axis) if one else inputs
        begun = _with_time(resets, axis) if one and resets is not None else resets
        self._check_rows(given)
        outputs, final = self.layer(given, self.state, lengths, begun)
        self.state = tree_map(torch.Tensor.detach, final)
        return outputs.squeeze(axis) if one and not isinstance(self.layer.net.read, Last) else outputs

    def reset_state(self, rows: Any = None) -> None:
        """Begin anew; with `rows` (batch,), only the rows where it is true, whose next step starts as a first one does.

        Raises ArgumentError, DtypeError or ShapeError where `rows` is not true or false for each row of the stream.
        """
        if rows is None:
            self.state = None
            return
        be, net, batch = self.layer.backend(), self.layer.net, self._rows()
        anew = validation.rows(be, "as_layer(net).stream().reset_state", rows, batch)
        if self.state is None:
            return

        def chosen(a: Array, new: Array) -> Array:
            return torch.where(torch.from_numpy(anew).to(a.device).reshape(-1, *[1] * (a.dim() - 1)), new, a)

        with torch.no_grad():
            unset, params = net.unset_state(batch, be.zeros), self.layer.tree(net.parameter_shapes())
            self.state = tree_map(chosen, self.state, begun(be.arrays, net, params, unset, batch))

    def _apply(self, function: Callable[[Array], Array], recurse: bool = True) -> Self:
        """Move or cast the parameters, as `to` does, and the state with them."""
        super()._apply(function, recurse)
        self.state = None if self.state is None else tree_map(function, self.state)
        return self

    @property
    def _axes(self) -> int:
        """The axes of the inputs of one step; a window of steps has one more."""
        return 1 if isinstance(self.layer.net.inputs, Embedding) else 2

    def _rows(self) -> int:
        """The number of rows of the state; 0 where there is none yet."""
        return next((int(a.shape[0]) for a in flat(self.state)), 0) if self.state is not None else 0

    def _check_rows(self, inputs: Any) -> None:
        rows, shape = self._rows(), tuple(getattr(inputs, "shape", ()))
        if rows and len(shape) == self._axes + 1 and shape[1 - int(self.layer.batch_first)] != rows:
            raise ShapeError(CALL, f"inputs must have {rows} rows, as the state has", f"shape {shape}",
                             "call reset_state() before another batch")  # fmt: skip


def _with_time(a: Any, axis: int) -> Any:
    """The arrays of one step as those of a window of one step."""
    return a[:, None] if axis else a[None]
