"""The parameters and states of a layer in parts: one for each head, and one where heads share it or there are none.

Between steps a state is one vector of a row, its heads side by side and the rows of a matrix one after the other, as
policies see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conformance.oracle.arithmetic import Array
from conformance.oracle.number import Number, Parameter, Tape
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tree import Tree

__all__ = ["Parts", "joined", "parameters", "state_of"]

LABELS = {"W": "x.", "b": "x.", "U": "R.", "p": "p."}


@dataclass(frozen=True)
class Parts:
    """One parameter in parts, joined along an axis."""

    parts: Sequence[Parameter]
    axis: int

    def of(self, head: int) -> Parameter:
        """The part of a head."""
        return self.parts[head if len(self.parts) > 1 else 0]

    def gradient(self) -> Array:
        """The gradients of the parts, joined."""
        return np.concatenate([part.gradient() for part in self.parts], self.axis)


def parameters(tape: Tape, cell: Cell, params: Tree) -> Tree:
    """The parameters of a half, runs first, in parts; learned states as vectors of a row."""
    return {kind: {name: _parted(tape, cell, kind, name, w) for name, w in named.items()}
            for kind, named in params.items()}  # fmt: skip


def _parted(tape: Tape, cell: Cell, kind: str, name: str, w: Array) -> Parts | Parameter:
    if kind == "initial":
        return Parameter(tape, w.reshape(len(w), 1, -1))
    label = LABELS[kind] + name
    if kind == "U":
        pieces, axis = ([w] if w.ndim == 3 else list(np.moveaxis(w, 1, 0))), 1
    elif kind == "p" and cell.ranks[label] == MATRIX:
        stack, axis = w.reshape(len(w), -1, *w.shape[-2:]), 1
        pieces = np.split(stack, stack.shape[1], 1)
    else:
        pieces, axis = np.split(w, cell.beside(label), 1), 1 if w.ndim == 3 else 2
        pieces = [piece if piece.ndim == 3 else piece[:, None] for piece in pieces]
    return Parts([Parameter(tape, piece) for piece in pieces], axis)


def state_of(tape: Tape, shape: Sequence[int], heads: int | None, head: int, number: Number) -> Number:
    """The part of a head of a state whose rows have a shape, as the equations see it."""
    own = tuple(shape if heads is None else shape[1:])
    size = math.prod(own)
    part = number if heads is None else tape.features(number, slice(head * size, (head + 1) * size))
    return part if len(own) == 1 else tape.shaped(part, own)


def joined(tape: Tape, numbers: Sequence[Number]) -> Number:
    """The parts of all heads as one vector of a row."""
    flat = [tape.shaped(n, (math.prod(n.value.shape[2:]),)) if n.value.ndim > 3 else n for n in numbers]
    return flat[0] if len(flat) == 1 else tape.join(flat)
