"""Sizes at which code takes another way: one of everything, many of one thing, whole blocks and what is left of them.

Every cell is judged at each, a few above one another, where another size costs no program: with lengths at every second
one, and at all of them both with and without where the cells are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice, product

from hypothesis.strategies import SearchStrategy

from conformance.cases import WIDTHS, Case, cases, hidden_for
from conformance.registry import Scope, Shape
from rnnspec import Cell, Layer, Network

__all__ = ["EXTENTS", "LARGE_MAPS", "extents", "large_maps", "tower", "vast"]

EXTENTS = (Shape(1, 1, 1, 1), Shape(2, 132, 2, 2), Shape(257, 2, 2, 3), Shape(2, 2, 257, 3), Shape(2, 2, 3, 257),
           Shape(16, 16, 16, 16), Shape(32, 20, 16, 64), Shape(3, 64, 2, 4), Shape(4, 72, 3, 72),
           Shape(127, 3, 5, 182))  # fmt: skip
"""Batch, time, inputs and hidden. The sizes that people use are among them, and more than 2^15 numbers in an array, and
2^22 multiplications in a product."""
ENDS = (0, 16, 15, 5, 11)
"""Sixteenths of the time at which rows end."""
STOREYS = 3
"""Cells above one another."""
VAST = (Shape(2, 4096, 2, 3), Shape(65_537, 3, 2, 2), Shape(3, 3, 65_537, 2))
"""More steps than a sum over time has digits to spare; more rows, and more inputs, than 16 bits count."""
LARGE_MAPS = Shape(33, 3, 17, 901)
"""Recurrent maps of millions of numbers, and more than a few rows."""


def extents(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """Layers of one width, forward and reverse in turn; each tower of cells at each size."""
    if not scope.eager or scope.shapes:
        return {}
    groups = [scope.cells[low : low + STOREYS] for low in range(0, len(scope.cells), STOREYS)]
    found = {}
    for (i, shape), (j, cells) in product(enumerate(EXTENTS), enumerate(groups)):
        name = f"{shape.batch},{shape.time},{shape.inputs},{shape.hidden} {cells[0].name}"
        for lengths in (None, _ends(shape)) if len(groups) == 1 else ((None, _ends(shape))[(i + j) % 2],):
            label = f"{name} ragged" if lengths else name
            found[label] = _at(shape, [_tower(shape, cells)], lengths)
    return found


def vast(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """One layer of one cell at sizes of which one is beyond what is used every day."""
    return _single(scope, VAST)


def large_maps(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """One layer of one cell with large maps, for which compilers have ways of their own."""
    return _single(scope, [LARGE_MAPS])


def _single(scope: Scope, shapes: Iterable[Shape]) -> Mapping[str, SearchStrategy[Case]]:
    if not scope.wide or scope.shapes:
        return {}
    return {f"{shape.batch},{shape.time},{shape.inputs},{shape.hidden}":
            _at(shape, [_tower(shape, [cell]) for cell in scope.cells], None) for shape in shapes}  # fmt: skip


def _at(shape: Shape, nets: Sequence[Network], lengths: tuple[int, ...] | None) -> SearchStrategy[Case]:
    return cases(nets).map(lambda case: replace(case, steps=shape.time, batch=shape.batch, lengths=lengths))


def _ends(shape: Shape) -> tuple[int, ...]:
    return tuple(-(-shape.time * end // 16) for end in islice(cycle(ENDS), shape.batch))


def tower(inputs: int, cells: Sequence[Cell], widths: Callable[[Cell], int | dict[str, int]]) -> Network:
    """The cells one above the other, in alternating directions."""
    halves = cycle(("forward", "reverse"))
    return Network(inputs, [Layer(cell, widths(cell), half) for cell, half in zip(cells, halves, strict=False)])


def _tower(shape: Shape, cells: Sequence[Cell]) -> Network:
    return tower(shape.inputs, cells, lambda cell: _one_width(cell, shape.hidden))


def _one_width(cell: Cell, hidden: int) -> int | dict[str, int]:
    """One width; where a cell leaves several free, the first is one more: a projection is smaller than its states."""
    first = hidden + 1 if len(cell.width_classes) > 1 else hidden
    return hidden_for(cell, (first,) + (hidden,) * len(WIDTHS))
