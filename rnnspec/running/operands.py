"""The arrays of a recurrence whose x.name are given, and those of a layer without maps: the same numbers.

In the first, heads have an axis of their own, which what they share lacks; in the second they stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.layer import Layer
from rnnspec.tracing.ranks import VECTOR
from rnnspec.tracing.widths import INPUT, OUTPUT
from rnnspec.tree import Tree

__all__ = ["Operands"]


@dataclass(frozen=True)
class Operands:
    """Both forms of the arrays of a layer without maps."""

    arrays: Arrays
    layer: Layer

    def inputs(self, given: Tree) -> Array:
        """The inputs (time, batch, feature) of the layer."""
        parts = [self.arrays.reshape(given[name], (*given[name].shape[:2], width)) for name, width in self._given]
        return self.arrays.concatenate(parts, -1) if len(parts) > 1 else parts[0]

    def given(self, inputs: Array) -> Tree:
        """The inverse of `inputs`."""
        found, low = {}, 0
        for name, width in self._given:
            label = name if name == INPUT and self.layer.cell.reads_input else f"x.{name}"
            found[name] = self._apart(inputs[..., low : low + width], label)
            low += width
        return found

    def params(self, own: Tree) -> Tree:
        """The parameters of the network."""
        p = {name: self._flat(a) if self._is_vector(name) else a for name, a in own["p"].items()}
        return {"layers": [{"forward": {"W": {}, "b": {}, "U": own["U"], "p": p}}]}

    def own_params(self, params: Tree) -> Tree:
        """The inverse of `params`."""
        named = params["layers"][0]["forward"]
        p = {name: self._apart(a, f"p.{name}") if self._is_vector(name) else a for name, a in named["p"].items()}
        return {"U": named["U"], "p": p}

    def outputs(self, outputs: Array) -> Array:
        """Outputs of the layer, or cotangents of them, with an axis for heads."""
        return self._apart(outputs, OUTPUT)

    def beside(self, outputs: Array) -> Array:
        """The inverse of `outputs`."""
        return self.arrays.reshape(outputs, (*outputs.shape[:2], self.layer.half_width))

    @property
    def _given(self) -> tuple[tuple[str, int], ...]:
        return self.layer.cell.given or ()

    def _is_vector(self, name: str) -> bool:
        return self.layer.cell.ranks[f"p.{name}"] == VECTOR

    def _flat(self, a: Array) -> Array:
        return a if len(a.shape) == 1 else self.arrays.reshape(a, (-1,))

    def _apart(self, a: Array, label: str) -> Array:
        """Features with an axis for heads, where each head has its own."""
        heads = self.layer.cell.beside(label)
        if self.layer.heads is None or label in self.layer.shared:
            return a
        return self.arrays.reshape(a, (*a.shape[:-1], heads, a.shape[-1] // heads))
