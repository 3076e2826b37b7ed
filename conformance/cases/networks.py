"""The fixed networks and sizes, for which a backend that compiles needs few programs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from conformance.cases import source
from rnnspec import cells
from rnnspec.layer import Layer
from rnnspec.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.network import Network
from rnnspec.output import Dense, Last
from rnnspec.policies import Truncated
from rnnspec.showing import choice, missing
from rnnspec.tracing.cell import OUTPUT, Cell

__all__ = ["BATCH", "CELLS", "HIDDEN", "INPUTS", "PUBLISHED", "STEPS", "WIDTHS", "hidden_for", "load_cell",
           "network_for", "table"]  # fmt: skip

STEPS, BATCH, INPUTS, HIDDEN = 7, 5, 3, 4
"""The sizes of the default table, all different, so that a swap of axes shows."""

WIDTHS = (HIDDEN, 3, 5, 2, 6)
"""The widths of a cell with several widths, in the default table."""

PUBLISHED: dict[str, Cell] = {name: value for name, value in vars(cells).items() if isinstance(value, Cell)}
"""The cells of the specification, by name."""

CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (cells.elman, cells.elman_relu, cells.lstm, cells.lstm_peephole, cells.lstm_projected, cells.gru,
                 cells.gru_reset_before, cells.mingru)
}  # fmt: skip
"""The cells that every law is judged on, by name: those that frameworks have kernels for, and their nearest kin."""


def load_cell(name: str) -> Cell:
    """A cell by name: one of the specification, or `module:name` for anybody's own.

    Raises LookupError where there is none.
    """
    module, _, attribute = name.rpartition(":")
    if not module:
        if name not in PUBLISHED:
            raise LookupError(f"no cell {name!r}: {choice(name, PUBLISHED)}, or write module:name")
        return PUBLISHED[name]
    try:
        there = vars(import_module(module))
        if attribute not in there:
            raise missing(module, attribute, (key for key, value in there.items() if isinstance(value, Cell)))
        found = there[attribute]
    except Exception as error:  # whatever the module does where it is imported
        raise LookupError(f"no cell {name!r}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Cell):
        raise LookupError(f"no cell {name!r}: it is a {type(found).__name__}; decorate its equations with @cell")
    source.OWN[found] = name
    return found


def hidden_for(cell: Cell, widths: Sequence[int] = WIDTHS) -> int | dict[str, int]:
    """The widths of a cell: one number, or `{name: width}` with different widths where the cell has several."""
    free = [members for members in cell.width_classes if not members & {*cell.numbers, "x"}]
    classes = [sorted(members - {OUTPUT}) for members in free if members - {OUTPUT}]
    names = [next((state for state in cell.states if state in members), members[0]) for members in classes]
    names.sort(key=lambda name: (name not in cell.states, name))
    if len(names) == 1 and set(names) <= set(cell.states):
        return widths[0]
    return {name: widths[i % len(widths)] for i, name in enumerate(names)}


def network_for(cell: Cell) -> Network:
    """A network of one forward layer of a cell, with different widths where the cell allows it."""
    return Network(INPUTS, [Layer(cell, hidden_for(cell))], loss=SquaredError())


def table(cell_list: Sequence[Cell]) -> dict[str, Network]:
    """The default networks by name: one for each cell, and two deep ones of all cells in turn.

    `deep_last` has as many inputs as hidden units, `deep_steps` truncates gradients in its first layer.
    """
    def layer(i: int, direction: str, gradient: Truncated | None = None) -> Layer:
        cell = cell_list[i % len(cell_list)]
        return Layer(cell, hidden_for(cell), direction, gradient)

    deep_last = [layer(2, "bidirectional"), layer(5, "forward")]
    deep_steps = [layer(3, "reverse", Truncated(3)), layer(6, "bidirectional")]
    return {cell.name: network_for(cell) for cell in cell_list} | {
        "deep_last": Network(HIDDEN, deep_last, Last(), Dense(6), SoftmaxCrossEntropy()),
        "deep_steps": Network(INPUTS, deep_steps, output=Dense(2), loss=SigmoidCrossEntropy()),
    }
