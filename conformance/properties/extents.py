"""Sizes at which code takes another way: one of everything, many of one thing, whole blocks and what is left of them.

Every cell is judged at each, a few above one another, where another size costs no program: with lengths at every second
one, and at all of them both with and without where the cells are few. Of two precisions one is asked for the values and
the other for the gradients. What takes the oracle longer, more than 8 or 10 bits count, is asked of one drawn cell at a
time, and shared among the precisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice, product

from hypothesis.strategies import SearchStrategy

from conformance.cases import WIDTHS, Case, Pull, cases, hidden_for
from conformance.registry import Scope, Shape
from rnnspec import Cell, Dense, Layer, Network
from rnnspec.losses import SoftmaxCrossEntropy, SquaredError

__all__ = [
    "EXTENTS",
    "LARGE_MAPS",
    "added_up",
    "broad",
    "counted",
    "crowd",
    "extents",
    "groups",
    "large_maps",
    "many",
    "storeys",
    "tower",
    "vast",
]

EXTENTS = (Shape(1, 1, 1, 1), Shape(2, 132, 2, 2), Shape(257, 2, 2, 3), Shape(2, 2, 257, 3), Shape(2, 2, 3, 257),
           Shape(16, 16, 16, 16), Shape(32, 20, 16, 64), Shape(3, 64, 2, 4), Shape(4, 72, 3, 72),
           Shape(127, 3, 5, 182))  # fmt: skip
"""Batch, time, inputs and hidden. The sizes that people use are among them, and more than 2^15 numbers in an array, and
2^22 multiplications in a product."""
ENDS = (0, 16, 15, 5, 11)
"""Sixteenths of the time at which rows end."""
STOREYS = 3
"""Cells above one another."""
ROWS = Shape(515, 2, 2, 3)
"""More rows than 9 bits count."""
LONG, LONG_ENDS = Shape(4, 260, 1, 1), (260, 256, 0, 131)
"""More steps than 8 bits count, in rows that end beyond and at what they count."""
BLOCK, BEYOND, BEYOND_ENDS = Shape(1, 1024, 1, 1), Shape(2, 1025, 1, 1), (1025, 1024)
"""A whole block of steps, and one step more."""
UNITS, BROAD, FEW_ENDS = Shape(2, 2, 1, 1030), Shape(2, 2, 1030, 1), (2, 1)
"""More units, and more inputs, than 10 bits count."""
CLASSES = 300
"""More than 8 bits count."""
VAST = (Shape(2, 4096, 2, 3), Shape(65_537, 3, 2, 2), Shape(3, 3, 65_537, 2))
"""More steps than a sum over time has digits to spare; more rows, and more inputs, than 16 bits count."""
LARGE_MAPS = Shape(33, 3, 17, 901)
"""Recurrent maps of millions of numbers, and more than a few rows."""
ADDED_UP = {"515 rows of one sign": ROWS, "1030 inputs of one sign": BROAD}
"""Sums of more terms of one sign than 8 and 10 bits can add up one by one."""
SCALE_OF_ONE_SIGN = 0.05
"""The scale at which such a sum does not saturate a gate."""


def extents(scope: Scope, turn: int) -> Mapping[str, SearchStrategy[Case]]:
    """Layers of one width, forward and reverse in turn; each tower of cells at each size.

    Precisions take turns, and laws with other turns begin with another precision.
    """
    if not scope.eager or scope.shapes:
        return {}
    found, towers = {}, groups(scope)
    part, parts = (0, 1) if scope.wide or scope.brief else scope.share  # where time is short, all labels are shared
    for (i, shape), (j, cells) in product(enumerate(EXTENTS), enumerate(towers)):
        if (i // 2 + j + turn) % parts != part:  # pairs of sizes, since every second size has lengths
            continue
        name = f"{shape.batch},{shape.time},{shape.inputs},{shape.hidden} {cells[0].name}"
        for lengths in (None, _ends(shape)) if len(towers) == 1 else ((None, _ends(shape))[(i + j) % 2],):
            label = f"{name} ragged" if lengths else name
            found[label] = _at(shape, [_tower(shape, cells)], lengths)
    return found


def counted(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """More rows, steps and inputs than counters of few bits count, each with rows that end early."""
    if not scope.eager or scope.shapes:
        return {}
    towers, layers = groups(scope), [[cell] for cell in scope.cells]
    found = {"515 rows": _drawn(ROWS, towers, None), "515 rows ragged": _drawn(ROWS, towers, _ends(ROWS)),
             "1030 inputs ragged": _drawn(BROAD, layers, FEW_ENDS)}  # fmt: skip
    dear = {"1024 steps": _drawn(BLOCK, layers, None), "1025 steps ragged": _drawn(BEYOND, layers, BEYOND_ENDS),
            "260 steps ragged": _drawn(LONG, layers, LONG_ENDS)}  # fmt: skip
    return found | _parted(scope, dear)


def added_up(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """Sums over rows, steps and inputs whose terms have one sign: a sum that is kept in 16 bits stops growing."""
    if not scope.eager or scope.shapes:
        return {}
    layers = [[cell] for cell in scope.cells]
    return {label: _drawn(shape, layers, None).map(_of_one_sign) for label, shape in ADDED_UP.items()}


def _of_one_sign(case: Case) -> Case:
    return replace(case, one_sign=True, scale=SCALE_OF_ONE_SIGN, pull=Pull.BOTH)


def broad(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """More units than 10 bits count; their gradients take the oracle too long."""
    if not scope.eager or scope.shapes or scope.brief:
        return {}
    return {"1030 units ragged": _drawn(UNITS, [[cell] for cell in scope.cells], FEW_ENDS)}


def many(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """A loss over more rows and classes, and over more steps, than 8 bits count."""
    if not scope.eager or scope.shapes:
        return {}
    layers = [Layer(cell, _one_width(cell, ROWS.hidden)) for cell in scope.cells]
    classes = [Network(ROWS.inputs, [layer], output=Dense(CLASSES), loss=SoftmaxCrossEntropy()) for layer in layers]
    narrow = [Network(LONG.inputs, [layer], output=Dense(1), loss=SquaredError()) for layer in layers]
    return _parted(scope, {"300 classes, 515 rows": _at(ROWS, classes, _ends(ROWS)),
                           "a loss over 260 steps": _at(LONG, narrow, LONG_ENDS)})  # fmt: skip


def crowd(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """A loss without lengths over more rows, and steps of rows, than 8 and 10 bits count."""
    if not scope.eager or scope.shapes:
        return {}
    layers = [Layer(cell, _one_width(cell, ROWS.hidden)) for cell in scope.cells]
    nets = [Network(ROWS.inputs, [layer], output=Dense(2), loss=SquaredError()) for layer in layers]
    return {"trained on 515 rows": _at(ROWS, nets, None)}


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


def _parted(scope: Scope, found: Mapping[str, SearchStrategy[Case]]) -> dict[str, SearchStrategy[Case]]:
    """What of several precisions this one is asked: all of it in the deep tier, and none where time is short."""
    if scope.brief:
        return {}
    part, parts = (0, 1) if scope.wide else scope.share
    return {label: found[label] for label in list(found)[part::parts]}


def groups(scope: Scope) -> list[tuple[Cell, ...]]:
    """A few cells each, all of them in one of the groups."""
    return [storeys(scope.cells[low : low + STOREYS]) for low in range(0, len(scope.cells), STOREYS)]


def storeys(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """What stands above one another: a cell that is alone stands on itself, so that there are two directions."""
    return cells * 2 if len(cells) == 1 else cells


def _drawn(
    shape: Shape, groups: Sequence[Sequence[Cell]], lengths: tuple[int, ...] | None
) -> SearchStrategy[Case]:
    return _at(shape, [_tower(shape, cells) for cells in groups], lengths)


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
