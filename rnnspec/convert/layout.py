"""A layout says where a cell's named maps lie in the tensors of another framework, and packs and unpacks them.

A tensor is described by the maps that it stacks: `"b.r b.z p.n"`. Columns of maps stand side by side with `|` between
them, and a map with `.T` is transposed: `"W.i W.f | U.i U.f"` is one map of (x, h). Parentheses enclose maps whose rows
take turns: row 2 i + k of `"(W.i W.f)"` is row i of the map k. A map that lies in several places is read as their sum;
when it is written, its first place holds it and the others hold zeros. A part that the cell does not have is `0`, a
vector of zeros, `1`, one of ones, or `I`, the identity: it must hold just that where it is read.

>>> import numpy as np
>>> from rnnspec import cells
>>> row = Layout("RNN", cells.elman, {"weight": "W.h U.h", "bias": "b.h b.h"})
>>> row.pack({"W.h": np.ones((1, 1)), "U.h": np.zeros((1, 1)), "b.h": np.array([3.0])})["bias"]
array([3., 0.])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnspec.convert.blocks import Blocks, Part, pieces, read, renamed
from rnnspec.convert.conversion import Note
from rnnspec.convert.extents import Sum, solved
from rnnspec.derivation.correspondence import correspondence
from rnnspec.errors import ArgumentError, ShapeError, UnsupportedError
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.widths import INPUT

__all__ = ["Layout", "layout_for", "matching_layout", "named_layout"]

Array = Any
Maps = dict[str, Array]
"""Maps of one half by dotted name: `W.i`, `b.i`, `U.i`, `p.n`."""
KINDS = {"W": "input", "b": "input", "U": "map", "p": "vector"}
"""The operation that each kind of parameter belongs to."""
FIXED: dict[str, Callable[[tuple[int, ...]], Array]] = {
    "0": np.zeros, "1": np.ones, "I": lambda shape: np.eye(shape[0], shape[1]),
}  # fmt: skip
"""The parts that a cell does not have, and what they hold."""
WIDTHS = {"W": ("x.{}", INPUT), "b": ("x.{}",), "U": ("R.{}", "{}.R"), "p": ("p.{}",)}
"""The names of the widths that the axes of each kind of map show."""


@dataclass(frozen=True)
class Layout:
    """One cell as another framework stores it: its name and options in the framework, and its tensors.

    `transposed` says that matrices are stored (in, out). `optional` tensors (biases) may be missing; those that are
    also `spare` are left out where a cell is written. `constants` are options that are named constants of the cell.
    `states` are in the framework's order; the default is the cell's order. `outside` names tensors, or parts of
    a model such as `fc`, that hold no map of the cell. Raises ArgumentError where a text is none of a tensor.
    """

    kind: str
    cell: Cell
    tensors: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    transposed: bool = False
    optional: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", self.states or self.cell.states)
        for text in self.tensors.values():
            read(text)

    def of(self, cell: Cell) -> Layout | None:
        """This row in the names of a cell with the same equations; None for any other cell."""
        own = self.cell.constants
        row = self.holding({ours: cell.constants.get(ours, own[ours]) for ours in self.constants.values()})
        names = correspondence(row.cell, cell)
        if names is None:
            return None

        def ours(place: str) -> str:
            kind, _, name = place.partition(".")
            return place if place in FIXED else f"{kind}.{names[KINDS[kind], name]}"

        tensors = {tensor: renamed(text, ours) for tensor, text in row.tensors.items()}
        return replace(row, cell=cell, tensors=tensors, states=tuple(names["state", name] for name in row.states))

    def holding(self, constants: Mapping[str, float]) -> Layout:
        """This row with other values of the named constants of its cell, which its options then have too."""
        options = {theirs: constants[ours] for theirs, ours in self.constants.items() if ours in constants}
        cell = self.cell(**constants) if constants else self.cell
        return replace(self, cell=cell, options={**self.options, **options})

    def is_outside(self, tensor: str) -> bool:
        """Whether a tensor holds no map of the cell: its name is one of `outside`, or below one."""
        return any(tensor == name or tensor.startswith(f"{name}.") for name in self.outside)

    @property
    def required(self) -> set[str]:
        """The tensors that are not optional."""
        return self.tensors.keys() - set(self.optional)

    def places(self) -> Iterator[tuple[str, list[str]]]:
        """Every tensor with the maps in it, column by column."""
        return ((tensor, [part.name for column in read(text) for part in column])
                for tensor, text in self.tensors.items())  # fmt: skip

    @property
    def repeated(self) -> set[str]:
        """The maps that lie in more than one place."""
        return {name for name, times in self._times().items() if times > 1}

    @property
    def absent(self) -> set[str]:
        """The maps of the cell that no tensor holds."""
        return self._every - {name for _, names in self.places() for name in names}

    def check_names(self, call: str) -> None:
        """Raise ArgumentError where a tensor holds what is no map of the cell."""
        unknown = [name for _, names in self.places() for name in names if name not in self._every | FIXED.keys()]
        if unknown:
            raise ArgumentError(call, f"a layout must hold maps of {self.cell.name}: {', '.join(sorted(self._every))}",
                                unknown[0], "see the equations on the page of the cell")  # fmt: skip

    @property
    def _every(self) -> set[str]:
        return {f"{kind}.{name}" for kind, names in self.cell.parameter_names.items() for name in names}

    @property
    def written(self) -> list[str]:
        """The tensors that are written."""
        return [tensor for tensor in self.tensors if tensor not in self.spare]

    def read_notes(self) -> list[Note]:
        """The notes that reading can make."""
        places = dict(self.places())
        held = {name for tensor in self.optional for name in places[tensor]} - FIXED.keys()
        biases = [Note.SUMMED_BIASES] * bool(self.repeated) + [Note.NO_BIAS] * bool(held)
        return biases + self._absent_notes(biases)

    def written_notes(self) -> list[Note]:
        """The notes that writing makes for any numbers."""
        places = dict(self.places())
        parts = [name for tensor in self.written for name in places[tensor]]
        second = any(parts.count(name) > 1 for name in parts if name not in FIXED)
        notes = [Note.SECOND_BIAS] * second + self._absent_notes((Note.NO_BIAS,))
        return notes + [Note.FIXED_PART] * any(name in FIXED for name in parts)

    def _absent_notes(self, others: Sequence[Note]) -> list[Note]:
        """The notes on maps that no tensor holds, beside others that are given already."""
        inner = {name for name in self.absent if name.startswith("p.")}
        missing = [Note.NO_BIAS] * (self.absent > inner and Note.NO_BIAS not in others)
        return missing + [Note.NO_INNER_BIAS] * bool(inner)

    def pack(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors that hold the maps; a bias tensor has one axis."""
        left = dict(maps)
        return {tensor: self._stacked(tensor, [left.pop(n) if n in left else None for n in names], maps)
                for tensor, names in self.places() if tensor in self.written}  # fmt: skip

    def _stacked(self, tensor: str, parts: Sequence[Array | None], maps: Mapping[str, Array]) -> Array:
        """A tensor of the given parts; None is a further place of a map, or what the cell does not have."""
        shapes = {label: array.shape for label, array in maps.items()}
        dtype = next(iter(maps.values())).dtype
        blocks = self._blocks(tensor, shapes)
        every = [each for column in blocks.columns for each in column]
        return self._stored(blocks.join([
            own if own is not None else FIXED.get(part.name, np.zeros)(shape).astype(dtype)
            for (part, shape), own in zip(every, parts, strict=True)
        ]))  # fmt: skip

    def shape_of(self, tensor: str, shapes: Maps) -> tuple[int, ...] | None:
        """The shape of a tensor that holds maps of these shapes, or None where its parts do not fit together."""
        blocks = self._blocks(tensor, shapes)
        return tuple(self._stored(np.empty(blocks.shape)).shape) if blocks.fits else None

    def _blocks(self, tensor: str, shapes: Maps) -> Blocks:
        """The parts of a tensor with the shapes of their maps."""
        columns = read(self.tensors[tensor])
        return Blocks([[(part, self._shape(part.name, column, shapes)) for part in column] for column in columns])

    def _shape(self, name: str, column: Sequence[Part], shapes: Maps) -> tuple[int, ...]:
        """The shape of one map; a part that the cell does not have is as large as those beside it."""
        beside = [label for label in (name, *(part.name for part in column)) if label in shapes]
        first = next(label for _, names in self.places() for label in names if label in shapes)
        return tuple(shapes[beside[0]]) if beside else tuple(shapes[first][:1])

    def spread(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors that hold the maps; a map of several places is split into equal parts, so that none is zeros."""
        parts = {name: maps[name] / times for name, times in self._times().items()}
        return {tensor: self._stacked(tensor, [parts.get(name) for name in names], maps)
                for tensor, names in self.places()}  # fmt: skip

    def gathered(self, tensors: Mapping[str, Array], shapes: Maps) -> Maps:
        """The gradients of the maps from those of the tensors; a map of several places gets their mean."""
        sums: Maps = {}
        for tensor in self.tensors:
            blocks = self._blocks(tensor, shapes)
            for name, block in blocks.split(self._flat(tensors[tensor], blocks.shape)):
                sums[name] = sums[name] + block if name in sums else block
        return {name: sums[name] / times for name, times in self._times().items()}

    def _times(self) -> dict[str, int]:
        """The number of places of each map."""
        every = [name for _, names in self.places() for name in names if name not in FIXED]
        return {name: every.count(name) for name in every}

    def unpack(self, call: str, place: str, tensors: Mapping[str, Array], shapes: Maps) -> tuple[Maps, list[Note]]:
        """The maps, of the given shapes, that the tensors hold, and the notes of reading them.

        Raises ShapeError where a tensor has another shape, and UnsupportedError where a part that the cell does not
        have holds other numbers than it must.
        """
        found: Maps = {}
        summed = False
        for tensor in filter(tensors.__contains__, self.tensors):
            blocks = self._blocks(tensor, shapes)
            self._check_fits(call, place, tensor, blocks)
            stored = self._flat(tensors[tensor], blocks.shape)
            if stored.shape != blocks.shape:
                right = self._stored(np.empty(blocks.shape)).shape
                raise ShapeError(call, f"{tensor} of {place} must have the shape {right}",
                                 f"shape {tensors[tensor].shape}", "give all tensors from one module")  # fmt: skip
            for name, block in blocks.split(stored):
                if name in FIXED:
                    _check_fixed(call, f"{tensor} of {place}", name, block)
                    continue
                summed |= name in found and bool(block.any())
                found[name] = _sum(found[name], block) if name in found else block.copy()
        missing, dtype = shapes.keys() - found.keys(), next(iter(found.values())).dtype
        notes = [Note.SUMMED_BIASES] * summed + [Note.NO_BIAS] * bool(missing - self.absent)
        notes += self._absent_notes(notes)
        return found | {name: np.zeros(shapes[name], dtype) for name in missing}, notes

    def check_fits(self, call: str, place: str, shapes: Maps) -> None:
        """Raise ShapeError where maps of these shapes do not fit together in a tensor."""
        for tensor in self.tensors:
            self._check_fits(call, place, tensor, self._blocks(tensor, shapes))

    def _check_fits(self, call: str, place: str, tensor: str, blocks: Blocks) -> None:
        if not blocks.fits:
            shapes = ", ".join(f"{part.name} {shape}" for column in blocks.columns for part, shape in column)
            raise ShapeError(call, f"{tensor} of {place} must hold equally wide maps in each column, columns of one "
                             "length, and maps of one shape in parentheses", shapes, "correct the layout")  # fmt: skip

    def widths(self, tensors: Mapping[str, Array]) -> tuple[int, int | dict[str, int]]:
        """The number of inputs and `hidden`, as the tensors' shapes show them."""
        own = filter(tensors.__contains__, self.tensors)
        shown = solved([each for tensor in own for each in self._sums(tensor, tensors[tensor])])
        inputs = shown.get(INPUT, 1)
        hidden = {next((state for state in self.cell.states if state in members), min(members)): shown[min(members)]
                  for members in self._free() if min(members) in shown}
        return inputs, hidden if len(hidden) > 1 else next(iter(hidden.values()), inputs)

    def _sums(self, tensor: str, array: Array) -> Iterator[Sum]:
        """The widths along each axis of a tensor."""
        columns = [pieces([(part, self._axes(part, column)) for part in column])
                   for column in read(self.tensors[tensor])]  # fmt: skip
        rows = [name for piece in columns[0] for name in _along(0, piece)]
        if len(columns) == 1 and all(len(axes) == 1 for piece in columns[0] for _, axes in piece):
            yield rows, array.size
            return
        two = (len(array), -1) if len(columns) > 1 else (-1, array.shape[-1])
        stored = self._stored(array.reshape(two) if array.ndim > 2 and array.size else array)
        yield rows, _extent(stored, 0)
        yield [name for column in columns for name in _along(1, column[0])], _extent(stored, 1)

    def _axes(self, part: Part, column: Sequence[Part]) -> tuple[str, ...]:
        """The names of the widths along the axes of one part, one for each class of equal widths."""
        names = [one.name for one in (part, *column) if one.name not in FIXED]
        kind, _, name = (names[0] if names else next(
            label for _, labels in self.places() for label in labels if label not in FIXED)).partition(".")
        own = [self._class(label.format(name)) for label in WIDTHS[kind]][: 2 if names else 1]
        flipped = [*own, ""][1::-1] if part.flipped else own
        return tuple(flipped)

    def _class(self, label: str) -> str:
        members = next((own for own in self.cell.width_classes if label in own), frozenset({label})) - {OUTPUT}
        return "" if members & self.cell.numbers else INPUT if INPUT in members else min(members)

    def _free(self) -> list[frozenset[str]]:
        """The names of the widths that `hidden` gives."""
        found = (members - {OUTPUT} for members in self.cell.width_classes if not members & {*self.cell.numbers, INPUT})
        return [members for members in found if members]

    def _flat(self, array: Array, shape: tuple[int, ...]) -> Array:
        """The tensor in our orientation, with the axes of this shape where it has more of them."""
        own = shape[::-1] if self.transposed else shape
        fewer = array.ndim > len(shape) and array.size == np.prod(shape)
        return self._stored(array.reshape(own) if fewer else array)

    def _stored(self, array: Array) -> Array:
        return array.T if self.transposed and array.ndim == 2 else array


def layout_for(layouts: Sequence[Layout], cell: Cell) -> Layout | None:
    """The first row of a table whose cell has the same equations, in the names of this cell; else None."""
    return next((found for row in layouts if (found := row.of(cell))), None)


def named_layout(layouts: Sequence[Layout], cell: Cell) -> Layout | None:
    """The first row of a table whose cell has maps of the same names as this cell, whatever its equations; else None.

    A state must not be missing either: the states are those of the row, in any order.
    """
    names, states = cell.parameter_names, set(cell.states)
    alike = (row for row in layouts if row.cell.parameter_names == names and set(row.states) == states)
    return next((row for row in alike if row.cell.heads == cell.heads), None)


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


def _along(axis: int, piece: Sequence[tuple[Part, Sequence[str]]]) -> list[str]:
    """The names of the widths along an axis of a piece: those of all parts on the axis on which they take turns."""
    turning = piece if axis == int(piece[0][0].flipped) else piece[:1]
    return [(*axes, "")[axis] for _, axes in turning]


def _extent(array: Array, axis: int) -> int:
    """The length of an axis; 1 where the array has no such axis, which is found where the array is unpacked."""
    return int(array.shape[axis]) if array.ndim > axis else 1


def _check_fixed(call: str, tensor: str, name: str, block: Array) -> None:
    apart = np.abs(block - FIXED[name](block.shape)).max(initial=0.0)
    if apart:
        must = {"0": "zeros", "1": "ones", "I": "the identity"}[name]
        raise UnsupportedError(call, f"{tensor} must hold {must} where the cell has no map",
                               f"numbers up to {apart:.3g} away", "declare a cell with this map")  # fmt: skip
