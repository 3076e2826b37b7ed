"""Resets by calling: each part of a row between them is a row of its own, in one call."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["in_parts"]

Array = Any


class _Runs(Protocol):
    def run(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]: ...


def in_parts(
    program: _Runs, net: Network, inputs: Array, state: Tree, lengths: Array | None, resets: Array, first: Tree
) -> tuple[Array, Tree]:
    """The outputs and the final state of rows that begin anew at resets, as `first` does.

    A forward half goes on from the given state in the first part, unless that begins with a reset; the reverse half in
    the last part.
    """
    steps, batch = inputs.shape[:2]
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    parts = [(row, begin, end) for row in range(batch) for begin, end in _parts(resets[:, row], int(ends[row]))]
    given = np.zeros((steps, len(parts), *inputs.shape[2:]), inputs.dtype)
    for place, (row, begin, end) in enumerate(parts):
        given[: end - begin, place] = inputs[begin:end, row]
    rows = np.array([row for row, _, _ in parts], int)
    begins = np.flatnonzero([begin == 0 for _, begin, _ in parts])
    last = np.flatnonzero([end == ends[row] for row, _, end in parts])
    goes_on = {"forward": begins[[not (steps and ends[row] and resets[0, row]) for row in rows[begins]]],
               "reverse": last}  # fmt: skip
    begun = [{half: {name: _only(a[rows], own[half][name][rows], goes_on[half]) for name, a in states.items()}
              for half, states in halves.items()} for halves, own in zip(state, first, strict=True)]  # fmt: skip
    outputs, final = program.run(given, begun, np.array([end - begin for _, begin, end in parts], int))
    ended = {"forward": last, "reverse": begins}
    found = [{half: {name: a[ended[half]] for name, a in states.items()} for half, states in halves.items()}
             for halves in final]  # fmt: skip
    if isinstance(net.read, Last):
        return outputs[ended[net.read_layer.halves[0]]], found
    whole = np.zeros((steps, batch, outputs.shape[-1]), outputs.dtype)
    for place, (row, begin, end) in enumerate(parts):
        whole[begin:end, row] = outputs[: end - begin, place]
    return whole, found


def _parts(resets: Array, end: int) -> list[tuple[int, int]]:
    """Where the parts of a row begin and end; a row without steps has one of none."""
    begins = [0, *(t for t in range(1, end) if resets[t])]
    return list(zip(begins, [*begins[1:], end], strict=True))


def _only(a: Array, first: Array, rows: Array) -> Array:
    """The state in some rows, and in the others what a part begins with."""
    found = np.array(first)
    found[rows] = a[rows]
    return found
