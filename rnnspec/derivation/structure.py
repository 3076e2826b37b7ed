"""How a step depends on the states before it: not at all, entry by entry, with writes of rank one, densely, or bent.

>>> from rnnspec import cells
>>> bends(cells.indrnn.graph, ("h",))
(Bend(op='relu', states=('h',), results=('h',)),)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from rnnspec.derivation.affine import MIXING, Affinity, NotAffine
from rnnspec.derivation.parallel import Chunks, Derivation
from rnnspec.derivation.tropical import maximum_of
from rnnspec.tracing.graph import MAPS, Graph, GraphBuilder, Node, ancestors, descendants, iterate
from rnnspec.tracing.ranks import MATRIX, narrowness

__all__ = ["Bend", "Factor", "Kind", "Structure", "bends", "structure"]


class Kind(Enum):
    """How the new values of some states depend on their old ones."""

    SHIFT = "shift"
    """Not at all: the step keeps something of its input, or of other states."""
    ENTRYWISE = "entrywise"
    """Affine, and each entry depends on the same entry of each state."""
    MAXIMUM = "maximum"
    """The larger of the shifted state and of something else, entry by entry."""
    RANK_ONE = "rank one"
    """A matrix that decays, is written to by outer products, and may be corrected by what it has under a key."""
    DENSE = "dense"
    """Affine, and features mix."""
    BENT = "bent"
    """Not affine."""


class Factor(Enum):
    """What multiplies a state."""

    ONE = "one"
    NUMBER = "number"
    VECTOR = "vector"
    ROWS = "rows"
    """A number for each row of a matrix."""
    COLUMNS = "columns"
    MATRIX = "matrix"


@dataclass(frozen=True)
class Bend:
    """An operation that is not linear in some states, and the states whose new values it makes so."""

    op: str
    states: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Structure:
    """How the new values of a group of states depend on their old ones, everything else held fixed.

    `factor` is that of an entrywise step, the widest one of a group, or the decay of a matrix. A matrix of rank one has
    its keys along the rows or not, `writes` outer products that are added to it, and `corrections`, the rank of what
    multiplies it beside the decay. `through` are the maps and operations that mix features, `bends` what is not linear.
    """

    kind: Kind
    factor: Factor | None = None
    keys_are_rows: bool | None = None
    writes: int = 0
    corrections: int = 0
    through: tuple[str, ...] = ()
    bends: tuple[Bend, ...] = ()

    @property
    def is_affine(self) -> bool:
        """Whether the new values are affine in the old ones."""
        return self.kind not in (Kind.MAXIMUM, Kind.BENT)

    @property
    def has_scan(self) -> bool:
        """Whether a scan can run it."""
        return self.kind in (Kind.SHIFT, Kind.ENTRYWISE, Kind.MAXIMUM)


def structure(derivation: Derivation, group: tuple[str, ...]) -> Structure:
    """The structure of a group of states in a derivation that has no other states."""
    if not _leaves(derivation.graph, group):
        return Structure(Kind.SHIFT)
    try:
        return _rank_one(derivation, derivation.chunks(group))
    except NotAffine:
        return _entrywise(derivation, group) or _mixed(derivation.graph, group)


def bends(graph: Graph, group: tuple[str, ...]) -> tuple[Bend, ...]:
    """The first operations on the way from states to their new values that are not linear in them."""
    return tuple(_bends(graph, group))


def _rank_one(derivation: Derivation, stage: Chunks) -> Structure:
    if stage.decay is None:
        factor = Factor.ONE
    else:
        decay = derivation.results[stage.decay]
        is_number = narrowness(derivation.builder.nodes)[decay].number
        factor = Factor.NUMBER if is_number else Factor.ROWS if stage.keys_are_rows else Factor.COLUMNS
    writes = sum(value is not None for value in stage.values)
    return Structure(Kind.RANK_ONE, factor, stage.keys_are_rows, writes, len({j for (j, _), _ in stage.feedback}))


def _entrywise(derivation: Derivation, group: tuple[str, ...]) -> Structure | None:
    """A structure that a scan can run."""
    graph = derivation.graph
    leaves, ends = _leaves(graph, group), _ends(graph, group)
    builder = GraphBuilder(list(graph.nodes))
    affinity = Affinity(builder, leaves.values(), {i for s, i in leaves.items() if s in derivation.numbers})
    try:
        forms = [affinity.of(index) for index in ends]
    except NotAffine:
        return _maximum(builder, [*leaves.values()], ends)
    factors = [factor for form in forms for factor in form.factors.values()]
    if not factors:
        return Structure(Kind.SHIFT)
    is_matrix = any(derivation.ranks[index] == MATRIX for index in ends)
    return Structure(Kind.ENTRYWISE, _widest(builder.nodes, factors, is_matrix))


def _maximum(builder: GraphBuilder, leaves: list[int], ends: list[int]) -> Structure | None:
    if len(leaves) != 1 or len(ends) != 1:
        return None
    try:
        maximum_of(builder, leaves[0], ends[0])
    except NotAffine:
        return None
    return Structure(Kind.MAXIMUM)


def _widest(nodes: list[Node], factors: list[int], is_matrix: bool) -> Factor:
    narrow = narrowness(nodes)
    if all(nodes[i].op == "constant" and nodes[i].value == 1.0 for i in factors):
        return Factor.ONE
    wide = [narrow[i] for i in factors if not narrow[i].number]
    if not wide:
        return Factor.NUMBER
    if not is_matrix:
        return Factor.VECTOR
    if all(n.column for n in wide):
        return Factor.ROWS
    return Factor.COLUMNS if all(n.row for n in wide) else Factor.MATRIX


def _mixed(graph: Graph, group: tuple[str, ...]) -> Structure:
    found = tuple(_bends(graph, group))
    return Structure(Kind.BENT, bends=found) if found else Structure(Kind.DENSE, through=_through(graph, group))


def _through(graph: Graph, group: tuple[str, ...]) -> tuple[str, ...]:
    """The maps, as they are printed, and the other operations that mix the features of states."""
    nodes, narrow = graph.nodes, narrowness(graph.nodes)
    on_the_way = descendants(nodes, _leaves(graph, group).values()) & ancestors(nodes, _ends(graph, group))
    names: dict[str, None] = {}
    for index in sorted(on_the_way):
        node = nodes[index]
        if node.op in MAPS:
            names |= dict.fromkeys(f"U_{name}" for name in node.name.split())
        elif node.op in MIXING and not narrow[node.args[0]].number:
            names[node.op] = None
    return tuple(names)


def _bends(graph: Graph, group: tuple[str, ...]) -> Iterator[Bend]:
    nodes, leaves = graph.nodes, _leaves(graph, group)
    reached = {state: descendants(nodes, [index]) for state, index in leaves.items()}
    moving = descendants(nodes, leaves.values())
    needed = {state: ancestors(nodes, [index]) for state, index in graph.results if state in group}
    known: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    bent: set[int] = set()
    for index in sorted(moving):
        node = nodes[index]
        if bent.intersection(node.args):
            bent.add(index)
        elif not _is_linear(node, [arg in moving for arg in node.args]):
            bent.add(index)
            states = tuple(state for state in group if index in reached.get(state, ()))
            results = [state for state in group if state in needed and index in needed[state]]
            if results:
                known.setdefault((node.op, states), {}).update(dict.fromkeys(results))
    for (op, states), results_of in known.items():
        yield Bend(op, states, tuple(state for state in group if state in results_of))


def _is_linear(node: Node, moves: list[bool]) -> bool:
    """Whether a node is affine in its operands that move, if those are affine."""
    if node.op in ("multiply", "outer", "matmul"):
        return sum(moves) <= 1
    if node.op in ("divide", "where"):
        return not moves[1 if node.op == "divide" else 0]
    return node.op in ("state", "add", "subtract", "negate", "total", "number", "stop", "spread", *MAPS)


def _leaves(graph: Graph, group: Collection[str]) -> dict[str, int]:
    return {node.name: index for index, node in iterate(graph.nodes, "state") if node.name in group}


def _ends(graph: Graph, group: Iterable[str]) -> list[int]:
    results = dict(graph.results)
    return [results[state] for state in group if state in results]
