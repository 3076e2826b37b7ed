"""A question to a backend whose x.name are given: the arrays of a layer without maps, each in a shape of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.properties.asking import Question
from rnnspec import Backend, Cell, Gradients, Layer, Result
from rnnspec.tracing.ranks import VECTOR
from rnnspec.tree import Tree

__all__ = ["Recurrence", "bare", "recurrence"]

Array = Any


@dataclass(frozen=True)
class Recurrence:
    """The arguments of `Backend.recur` and its pullback, by name; `layer` says what stands where in a network's."""

    backend: Backend
    layer: Layer
    given: Tree
    params: Tree
    state: Tree
    output_cotangent: Array
    state_cotangent: Tree
    lengths: Array
    resets: Array

    def run(self) -> Result:
        """Outputs and final state, as those of a network."""
        found = self.backend.recur(bare(self.layer.cell), self.given, self.params, self.state, self.lengths,
                                   self.resets)  # fmt: skip
        outputs = np.asarray(self.backend.to_numpy(found.outputs))
        width = self.layer.half_width
        return Result(outputs.reshape(*outputs.shape[:2], width), [{"forward": self.backend.to_numpy(found.state)}], ())

    def pull(self) -> Gradients:
        """The pullback, as that of a network."""
        found = self.backend.recur_pullback(bare(self.layer.cell), self.given, self.output_cotangent,
                                            self.state_cotangent, self.params, self.state, self.lengths,
                                            self.resets)  # fmt: skip
        own, inputs, state = (self.backend.to_numpy(tree) for tree in (found.params, found.inputs, found.state))
        learned = {"W": {}, "b": {}, "U": own["U"], "p": {name: self._flat(name, a) for name, a in own["p"].items()}}
        parts = [inputs[name].reshape(*inputs[name].shape[:2], width) for name, width in self.layer.cell.given or ()]
        return Gradients({"layers": [{"forward": learned}]}, np.concatenate(parts, -1), [{"forward": state}])

    def _flat(self, name: str, a: Array) -> Array:
        return a.reshape(-1) if self.layer.cell.ranks[f"p.{name}"] == VECTOR else a


def bare(cell: Cell) -> Cell:
    """The cell of the equations alone."""
    return replace(cell, heads=None, shared=(), given=None)


def recurrence(question: Question) -> Recurrence:
    """The same question, in the arrays of a recurrence."""
    g, layer = question.given, question.net.layers[0]
    own = g.params["layers"][0]["forward"]
    names = [name for name, _ in layer.cell.given or ()]
    ends = np.cumsum([width for _, width in layer.cell.given or ()])
    labels = [name if name == "x" and layer.cell.reads_input else f"x.{name}" for name in names]
    parts = zip(names, labels, np.split(g.inputs, ends[:-1], -1), strict=True)
    p = {name: _apart(layer, f"p.{name}", a) if layer.cell.ranks[f"p.{name}"] == VECTOR else a
         for name, a in own["p"].items()}  # fmt: skip
    return Recurrence(
        question.backend, layer, {name: _apart(layer, label, a) for name, label, a in parts}, {"U": own["U"], "p": p},
        g.state[0]["forward"], _apart(layer, "", g.output_cotangent), g.state_cotangent[0]["forward"], g.lengths,
        g.resets,
    )  # fmt: skip


def _apart(layer: Layer, label: str, a: Array) -> Array:
    """Features with an axis for heads, where each head has its own."""
    if layer.heads is None or label in layer.shared:
        return a
    return a.reshape(*a.shape[:-1], layer.heads, a.shape[-1] // layer.heads)
