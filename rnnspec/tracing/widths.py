"""The widths of a cell: which names share one, and the number of each.

A name is that of a state, `x` for the input itself, `x.name`, `p.name`, `R.name` (what a map gives) and `name.R` (what
a map reads); the output is the empty name. A matrix has two widths, `S.rows` and `S.columns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from rnnspec.errors import NetworkError
from rnnspec.primitives import PRIMITIVES
from rnnspec.showing import shown
from rnnspec.tracing.graph import MAPS, Graph, Node
from rnnspec.tracing.ranks import MATRIX, NUMBER, NUMBERS, VECTOR, Narrow, narrowness, ranks

__all__ = ["INPUT", "OUTPUT", "axes", "classes", "numbers", "widths"]

OUTPUT = ""
"""The name of the output among a graph's results; no state can have it."""
INPUT = "x"
AXES = ("rows", "columns")

Axes = tuple[str | None, ...]
"""The label of each axis of a value, None where the axis has one entry for any widths."""


def axes(name: str, rank: int) -> tuple[str, ...]:
    """The names of the widths of a state or vector: its own, or one for each axis of a matrix."""
    return tuple(f"{name}.{axis}" for axis in AXES) if rank == MATRIX else (name,)


@lru_cache(maxsize=256)
def classes(graph: Graph, states: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """The sets of names that share one width."""
    public = (_public(members) for members in _unified(graph, states))
    return tuple(sorted((members for members in public if members), key=sorted))


@lru_cache(maxsize=256)
def numbers(graph: Graph, states: tuple[str, ...]) -> frozenset[str]:
    """The names that are one number for any widths."""
    labels = _labelled(graph)
    found = {own for own, axis in _ends(graph, labels) if axis is None}
    for node in graph.nodes:
        if node.op in MAPS and labels[node.args[0]] == (None,):
            found.add(_ends_of_map(node)[1])
    narrow = {labels[node.args[0]][0] for node in graph.nodes if node.op == "number"}
    return frozenset(found.union(*(_public(members) for members in _unified(graph, states) if members & narrow)))


def widths(
    call: str, graph: Graph, states: Sequence[str], hidden: int | Mapping[str, int], inputs: int | None
) -> dict[str, int]:
    """The width of each name, from one number or from `{name: width}`, and the width of the input.

    One number is the width of all states, or of the output where there is no state. Where `inputs` is None, names that
    share the width of `x` and have no other are left out. Raises NetworkError where a width is given twice, is not
    given, or is below 1.
    """
    sets, ones = classes(graph, states), numbers(graph, states)
    like_x = next((members for members in sets if INPUT in members), frozenset[str]())
    meant = _meant(_named(graph, states) or [OUTPUT], ones, like_x)
    given = dict.fromkeys(meant, hidden) if isinstance(hidden, int) else dict(hidden)
    _check_given(call, given, set().union(*sets) - {INPUT})
    given |= {} if inputs is None else {INPUT: inputs}
    found = {OUTPUT: 1} if OUTPUT in ones else {}
    for members in sets:
        fixed = [(name, given[name]) for name in sorted(members) if name in given]
        fixed += [(name, 1) for name in sorted(members & ones)]
        if fixed or members is not like_x:
            found |= dict.fromkeys(members, _width(call, members, fixed, hidden))
    return found


def _meant(states: Sequence[str], ones: frozenset[str], like_x: frozenset[str]) -> list[str]:
    """What one number is the width of: states as wide as the input are meant only where all others are."""
    vectors = [state for state in states if state not in ones]
    return [state for state in vectors if state not in like_x] or vectors


def _check_given(call: str, given: Mapping[str, int], known: set[str]) -> None:
    for name, width in given.items():
        if name not in known or isinstance(width, bool) or not isinstance(width, int) or width < 1:
            fixable = ", ".join(sorted(known - {OUTPUT}))
            raise NetworkError(call, "hidden must give names of the cell whole numbers of at least 1",
                               f"{shown(name or 'hidden')}: {shown(width)}",
                               f"give the width of one of {fixable}")  # fmt: skip


def _width(call: str, members: frozenset[str], fixed: list[tuple[str, int]], hidden: object) -> int:
    """The one width of names that share it."""
    whose = ", ".join(sorted(members - {OUTPUT})) or "the output"
    if len({width for _, width in fixed}) > 1:
        got = ", ".join(f"{name or 'hidden'}={width}" for name, width in fixed)
        why = "x is the input itself" if INPUT in members else "what is made of total(...) only is one number"
        raise NetworkError(call, f"{whose} must have one width", got, f"give them the same number; {why}")
    if not fixed:
        raise NetworkError(call, f"hidden must give the width of {whose}", f"hidden={shown(hidden)}",
                           f"give hidden={{..., {min(members - {OUTPUT} or members)!r}: width}}")  # fmt: skip
    return fixed[0][1]


def _unified(graph: Graph, states: Sequence[str]) -> list[set[str]]:
    """The labels that share a width, those of nodes without a name included."""
    parent: dict[str, str] = {}

    def find(label: str) -> str:
        while parent.setdefault(label, label) != label:
            label = parent[label]
        return label

    for one, other in _equal(graph, states):
        parent[find(one)] = find(other)
    found: dict[str, set[str]] = {}
    for label in parent:
        found.setdefault(find(label), set()).add(label)
    return list(found.values())


def _equal(graph: Graph, states: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of labels that share a width; one without a partner is paired with itself."""
    labels = _labelled(graph)
    yield from ((name, name) for name in _named(graph, states))
    yield from ((own, axis) for own, axis in _ends(graph, labels) if axis is not None)
    for index, node in enumerate(graph.nodes):
        yield from ((label, label) for label in labels[index] if label)
        if node.op in MAPS:
            [read], into = labels[node.args[0]], _ends_of_map(node)[1]
            yield read or into, into
        elif node.op == "matmul":
            yield from _contracted([labels[arg] for arg in node.args])
        elif node.op in PRIMITIVES and node.op not in ("outer", *NUMBERS):
            pairs = (pair for arg in node.args for pair in zip(labels[arg], labels[index], strict=False))
            yield from ((one, other) for one, other in pairs if one and other)


def _contracted(operands: Sequence[Axes]) -> Iterator[tuple[str, str]]:
    """The two axes that a product of a matrix and a vector adds over."""
    left, right = operands
    one, other = (left[1], right[0]) if len(left) > len(right) else (left[0], right[0])
    if one and other:
        yield one, other


def _labelled(graph: Graph) -> list[Axes]:
    """The labels of the axes of every node, `#index` where it has no name of its own."""
    found: list[Axes] = []
    known = zip(graph.nodes, ranks(graph), narrowness(graph.nodes), strict=True)
    for index, (node, rank, narrow) in enumerate(known):
        found.append(_label(index, node, rank, narrow, found))
    return found


def _label(index: int, node: Node, rank: int, narrow: Narrow, before: Sequence[Axes]) -> Axes:
    if rank == NUMBER:
        return (None,)
    if node.op == "outer":
        return before[node.args[0]][0], before[node.args[1]][0]
    if node.op == "matmul":
        left, right = (before[arg] for arg in node.args)
        return (left[0],) if len(left) > len(right) else (right[1],)
    if node.op in MAPS:
        return (_ends_of_map(node)[0],)
    prefix = {"x": INPUT, "input": "x.", "vector": "p.", "state": ""}.get(node.op)
    own = axes(f"#{index}" if prefix is None else prefix + node.name, rank)
    return own if rank == VECTOR else tuple(None if one else label for one, label in zip(narrow[1:], own, strict=True))


def _named(graph: Graph, states: Sequence[str]) -> list[str]:
    """The names of the widths of all states."""
    rank = dict(zip((name for name, _ in graph.results), (ranks(graph)[i] for _, i in graph.results), strict=True))
    return [name for state in states for name in axes(state, rank[state])]


def _ends(graph: Graph, labels: Sequence[Axes]) -> Iterator[tuple[str, str | None]]:
    """The axes of the new states and of the output, each with the label of what becomes it."""
    for name, index in graph.results:
        yield from zip(axes(name, len(labels[index])), labels[index], strict=True)


def _ends_of_map(node: Node) -> tuple[str, str]:
    """The labels of what a map gives and of what it reads; a transposed one gives what the map reads."""
    ends = f"R.{node.name}", f"{node.name}.R"
    return ends if node.op == "map" else ends[::-1]


def _public(members: set[str]) -> frozenset[str]:
    return frozenset(label for label in members if not label.startswith("#"))
