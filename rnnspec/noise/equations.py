"""The equations of a layer with noise on states and gates: in expectation, and with masks among its inputs.

>>> from rnnspec import cells
>>> from rnnspec.noise.kinds import Zoneout
>>> print(expected(cells.elman, (Zoneout(0.25),)))
elman(h)
  h2 = tanh(W_h x + b_h + U_h h)
  h' = 0.25 ⊙ h + 0.75 ⊙ h2
>>> print(masked(cells.elman, (Zoneout(0.25),)).cell)
elman(h)
  h2 = tanh(W_h x + b_h + U_h h)
  h' = where(W_new_h x + b_new_h > 0, h2, h)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rnnspec.errors import NetworkError
from rnnspec.noise.kinds import GateDropout, Noise, WeightDrop, Zoneout
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph, GraphBuilder, iterate
from rnnspec.tracing.ranks import VECTOR
from rnnspec.tracing.widths import OUTPUT

__all__ = ["Masked", "check", "expected", "gates", "masked", "zoned"]

SUMS = ("add", "subtract", "negate")
"""What stands between the x.name of a gate and the function that reads it."""
FUNCTIONS = ("tanh", "sigmoid", "relu", "softplus", "exp", "cos", "sin", "erf")

Change = Callable[[GraphBuilder, int], int]


@dataclass(frozen=True)
class Masked:
    """A cell whose masks are among its inputs; `masks` gives for each x.name of a mask the noise, and a state's name.

    A mask is 1 where a state takes its new value, and where a gate is kept, and 0 elsewhere.
    """

    cell: Cell
    masks: tuple[tuple[str, Noise, str], ...]


def check(call: str, cell: Cell, noise: Sequence[Noise]) -> None:
    """Raise NetworkError where a cell lacks the states, gates or maps that its noise acts on."""
    for one in noise:
        if isinstance(one, Zoneout):
            for state in one.rates(cell.states):
                _require(call, state in zoned(cell), "Zoneout must name states that are vectors", zoned(cell), state)
        elif isinstance(one, GateDropout):
            _require(call, one.gate in gates(cell), "GateDropout must name the x.name that one function reads",
                     gates(cell), one.gate)  # fmt: skip
        elif isinstance(one, WeightDrop):
            _require(call, bool(cell.parameter_names["U"]), "WeightDrop must have recurrent maps", [], cell.name)


def zoned(cell: Cell) -> tuple[str, ...]:
    """The states of a cell that can have zoneout: those that are vectors."""
    return tuple(state for state in cell.states if cell.ranks[state] == VECTOR)


def gates(cell: Cell) -> tuple[str, ...]:
    """The x.name of a cell whose gates can have dropout."""
    return tuple(name for name in cell.graph.names("input") if _gate(cell.graph, name) is not None)


def expected(cell: Cell, noise: Sequence[Noise]) -> Cell:
    """The cell of a call without a key: new states of Zoneout are means of old and new ones."""
    rates = {s: rate for one in noise if isinstance(one, Zoneout) for s, rate in one.rates(cell.states).items()}
    return _expected(cell, tuple(rates.items())) if rates else cell


@lru_cache(maxsize=256)
def _expected(cell: Cell, rates: tuple[tuple[str, float], ...]) -> Cell:
    def blend(builder: GraphBuilder, new: int, state: str, rate: float) -> int:
        old = builder.vector("state", state).index
        parts = [builder.primitive("multiply", builder.constant(share), value)
                 for share, value in ((rate, old), (1 - rate, new))]  # fmt: skip
        return builder.primitive("add", *parts)

    return _changed(cell, {}, {s: lambda b, i, s=s, r=r: blend(b, i, s, r) for s, r in rates})  # type: ignore[misc]


@lru_cache(maxsize=256)
def masked(cell: Cell, noise: tuple[Noise, ...]) -> Masked | None:
    """The cell with masks among its inputs; None where no state and no gate has noise."""
    masks, values, states = list[tuple[str, Noise, str]](), dict[int, Change](), dict[str, Change]()
    for one in noise:
        if isinstance(one, Zoneout):
            for state in one.rates(cell.states):
                name = _free(cell, f"new_{state}")
                masks.append((name, one, state))
                states[state] = _choosing(name, state)
        elif isinstance(one, GateDropout):
            name, gate = _free(cell, f"kept_{one.gate}"), _gate(cell.graph, one.gate)
            masks.append((name, one, one.gate))
            assert gate is not None
            values[gate] = _keeping(name, 1 / (1 - one.rate))
    return Masked(_changed(cell, values, states), tuple(masks)) if masks else None


def _choosing(name: str, state: str) -> Change:
    def chosen(builder: GraphBuilder, new: int) -> int:
        return builder.primitive("where", _holds(builder, name), new, builder.vector("state", state).index)

    return chosen


def _keeping(name: str, scale: float) -> Change:
    def kept(builder: GraphBuilder, value: int) -> int:
        scaled = builder.primitive("multiply", value, builder.constant(scale))
        return builder.primitive("where", _holds(builder, name), scaled, builder.constant(0))

    return kept


def _holds(builder: GraphBuilder, name: str) -> int:
    return builder.primitive("greater", builder.vector("input", name).index, builder.constant(0))


def _changed(cell: Cell, values: Mapping[int, Change], results: Mapping[str, Change]) -> Cell:
    """The cell with other values of some nodes, and of some new states; an output that is a state stays that state."""
    builder, place = GraphBuilder(has_matrices=True), list[int]()
    for index, node in enumerate(cell.graph.nodes):
        added = builder.add(node.op, [place[arg] for arg in node.args], node.name, node.value)
        place.append(values[index](builder, added) if index in values else added)
    found = {name: results[name](builder, place[i]) if name in results else place[i] for name, i in cell.graph.results}
    if cell.output_state is not None:
        found[OUTPUT] = found[cell.output_state]
    return replace(cell, graph=builder.graph(found), named=None)


def _gate(graph: Graph, name: str) -> int | None:
    """The one function that reads x.name, by way of sums; None where there is none, or something else reads it."""
    reached = {index for index, node in iterate(graph.nodes, "input") if node.name == name}
    readers = set[int]()
    for index, node in enumerate(graph.nodes):
        if reached.intersection(node.args):
            (reached if node.op in SUMS else readers).add(index)
    ends = {index for _, index in graph.results} & reached
    if len(readers) != 1 or ends or graph.nodes[min(readers)].op not in FUNCTIONS:
        return None
    return readers.pop()


def _free(cell: Cell, name: str) -> str:
    """A name that no x.name has."""
    return name if name not in cell.graph.names("input") else _free(cell, f"{name}_")


def _require(call: str, holds: bool, must: str, known: Sequence[str], got: str) -> None:
    if not holds:
        raise NetworkError(call, f"{must}: {', '.join(known) or 'none'}", repr(got), "name another, or leave it out")
