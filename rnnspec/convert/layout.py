"""A layout says where a cell's named maps lie in the tensors of another framework, and packs and unpacks them.

A tensor is described by the maps that it stacks: `"b.r b.z p.n"`. A map that lies in several places is read as their
sum; when it is written, its first place holds it and the others hold zeros.

>>> import numpy as np
>>> from rnnspec import cells
>>> row = Layout("RNN", cells.elman, {"weight": "W.h U.h", "bias": "b.h b.h"})
>>> row.pack({"W.h": np.ones((1, 1)), "U.h": np.zeros((1, 1)), "b.h": np.array([3.0])})["bias"]
array([3., 0.])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnspec.convert.conversion import Note
from rnnspec.derivation.correspondence import correspondence
from rnnspec.errors import ShapeError
from rnnspec.tracing.cell import Cell

__all__ = ["Layout", "layout_for", "matching_layout"]

Array = Any
Maps = dict[str, Array]
"""Maps of one half by dotted name: `W.i`, `b.i`, `U.i`, `p.n`."""
KINDS = {"W": "input", "b": "input", "U": "map", "p": "vector"}
"""The operation that each kind of parameter belongs to."""


@dataclass(frozen=True)
class Layout:
    """One cell as another framework stores it: its name and options in the framework, and its tensors.

    `transposed` says that matrices are stored (in, out). `optional` tensors (biases) may be missing. `states` are in
    the framework's order; the default is the cell's order.
    """

    kind: str
    cell: Cell
    tensors: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    transposed: bool = False
    optional: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", self.states or self.cell.states)

    def of(self, cell: Cell) -> Layout | None:
        """This row in the names of a cell with the same equations; None for any other cell."""
        names = correspondence(self.cell, cell)
        if names is None:
            return None

        def renamed(place: str) -> str:
            kind, _, name = place.partition(".")
            return f"{kind}.{names[KINDS[kind], name]}"

        tensors = {tensor: " ".join(map(renamed, maps)) for tensor, maps in self.places()}
        return replace(self, cell=cell, tensors=tensors, states=tuple(names["state", name] for name in self.states))

    @property
    def required(self) -> set[str]:
        """The tensors that are not optional."""
        return self.tensors.keys() - set(self.optional)

    def places(self) -> Iterator[tuple[str, list[str]]]:
        """Every tensor with the maps in it."""
        return ((tensor, names.split()) for tensor, names in self.tensors.items())

    @property
    def repeated(self) -> set[str]:
        """The maps that lie in more than one place."""
        return {name for name, times in self._times().items() if times > 1}

    @property
    def absent(self) -> set[str]:
        """The maps of the cell that no tensor holds."""
        every = {f"{kind}.{name}" for kind, op in KINDS.items() for name in self.cell.graph.names(op)}
        return every - {name for _, names in self.places() for name in names}

    def read_notes(self) -> list[Note]:
        """The notes that reading can make."""
        biases = [Note.SUMMED_BIASES] * bool(self.repeated) + [Note.NO_BIAS] * bool(self.optional)
        return biases + [Note.NO_INNER_BIAS] * bool(self.absent)

    def written_notes(self) -> list[Note]:
        """The notes that writing makes for any numbers."""
        return [Note.SECOND_BIAS] * bool(self.repeated) + [Note.NO_INNER_BIAS] * bool(self.absent)

    def pack(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors that hold the maps; a bias tensor has one axis."""
        left = dict(maps)
        return {
            tensor: self._stored(np.concatenate([left.pop(n) if n in left else np.zeros_like(maps[n]) for n in names]))
            for tensor, names in self.places()
        }

    def spread(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors that hold the maps; a map of several places is split into equal parts, so that none is zeros."""
        parts = {name: maps[name] / times for name, times in self._times().items()}
        return {t: self._stored(np.concatenate([parts[name] for name in names])) for t, names in self.places()}

    def gathered(self, tensors: Mapping[str, Array], shapes: Maps) -> Maps:
        """The gradients of the maps from those of the tensors; a map of several places gets their mean."""
        sums: Maps = {}
        for tensor, names in self.places():
            rows = np.cumsum([shapes[name][0] for name in names])
            for name, block in zip(names, np.split(self._stored(tensors[tensor]), rows[:-1]), strict=True):
                sums[name] = sums[name] + block if name in sums else block
        return {name: sums[name] / times for name, times in self._times().items()}

    def _times(self) -> dict[str, int]:
        """The number of places of each map."""
        every = [name for _, names in self.places() for name in names]
        return {name: every.count(name) for name in every}

    def unpack(self, call: str, place: str, tensors: Mapping[str, Array], shapes: Maps) -> tuple[Maps, list[Note]]:
        """The maps, of the given shapes, that the tensors hold, and the notes of reading them.

        Raises ShapeError where a tensor has another shape.
        """
        found: Maps = {}
        summed = False
        for tensor, names in self.places():
            if tensor not in tensors:
                continue
            rows = [shapes[name][0] for name in names]
            stored = self._stored(tensors[tensor])
            if stored.shape != (sum(rows), *shapes[names[0]][1:]):
                right = self._stored(np.empty((sum(rows), *shapes[names[0]][1:]))).shape
                raise ShapeError(call, f"{tensor} of {place} must have the shape {right}",
                                 f"shape {tensors[tensor].shape}", "give all tensors from one module")  # fmt: skip
            for name, block in zip(names, np.split(stored, np.cumsum(rows)[:-1]), strict=True):
                summed |= name in found and bool(block.any())
                found[name] = _sum(found[name], block) if name in found else block.copy()
        missing, dtype = shapes.keys() - found.keys(), next(iter(found.values())).dtype
        notes = [Note.SUMMED_BIASES] * summed + [Note.NO_BIAS] * bool(missing - self.absent)
        notes += [Note.NO_INNER_BIAS] * bool(self.absent)
        return found | {name: np.zeros(shapes[name], dtype) for name in missing}, notes

    def widths(self, tensors: Mapping[str, Array]) -> tuple[int, int | dict[str, int]]:
        """The number of inputs and `hidden`, as the tensors' shapes show them."""
        inputs = self._first(tensors, "W.").shape[1]
        recurrent = self._first(tensors, "U.")
        gates = next(len(names) for _, names in self.places() if names[0].startswith("U."))
        width = recurrent.shape[0] // gates
        if len(self.cell.width_classes) == 1:
            return inputs, width
        return inputs, dict(zip(self.states, (recurrent.shape[1], width), strict=True))

    def _first(self, tensors: Mapping[str, Array], prefix: str) -> Array:
        return next(self._stored(tensors[t]) for t, names in self.places() if names[0].startswith(prefix))

    def _stored(self, array: Array) -> Array:
        return array.T if self.transposed and array.ndim == 2 else array


def layout_for(layouts: Sequence[Layout], cell: Cell) -> Layout | None:
    """The first row of a table whose cell has the same equations, in the names of this cell; else None."""
    return next((found for row in layouts if (found := row.of(cell))), None)


def matching_layout(
    layouts: Sequence[Layout], kind: str, options: Mapping[str, Any], tensors: Iterable[str] = ()
) -> Layout | None:
    """The first row of a table with this kind and these options that holds all the tensors; else None."""
    return next(
        (row for row in layouts if row.kind == kind and row.tensors.keys() >= set(tensors)
         and all(options.get(name) == value for name, value in row.options.items())), None,
    )  # fmt: skip


def _sum(one: Array, other: Array) -> Array:
    """The sum, rounded once; adding a zero changes nothing, so that -0 stays."""
    return np.where(other == 0, one, (one.astype(np.float64) + other).astype(one.dtype))
