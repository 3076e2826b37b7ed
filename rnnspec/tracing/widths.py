"""The widths of a cell: which names share one, and the number of each.

A name is that of a state, `x` for the input itself, `x.name`, `p.name`, `R.name` (what a map gives) and `name.R` (what
a map reads); the output is the empty name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rnnspec.errors import NetworkError
from rnnspec.primitives import PRIMITIVES
from rnnspec.showing import shown
from rnnspec.tracing.graph import MAPS, Graph, Node, is_scalar, iterate

__all__ = ["OUTPUT", "classes", "numbers", "widths"]

OUTPUT = ""
"""The name of the output among a graph's results; no state can have it."""
INPUT = "x"


def classes(graph: Graph, states: Sequence[str]) -> tuple[frozenset[str], ...]:
    """The sets of names that share one width."""
    public = (_public(members) for members in _unified(graph, states))
    return tuple(sorted((members for members in public if members), key=sorted))


def numbers(graph: Graph, states: Sequence[str]) -> frozenset[str]:
    """The names that are one number for any widths."""
    nodes = graph.nodes
    found = {name for name, index in graph.results if is_scalar(nodes, index)}
    found |= {_ends(node)[1] for node in nodes if node.op in MAPS and is_scalar(nodes, node.args[0])}
    narrow = {_label(node.args[0], nodes[node.args[0]]) for _, node in iterate(nodes, "number")}
    return frozenset(found.union(*(_public(members) for members in _unified(graph, states) if members & narrow)))


def widths(
    call: str, graph: Graph, states: Sequence[str], hidden: int | Mapping[str, int], inputs: int | None
) -> dict[str, int]:
    """The width of each name, from one number or from `{name: width}`, and the width of the input.

    Where `inputs` is None, names that share the width of `x` and have no other are left out. Raises NetworkError where
    a width is given twice, is not given, or is below 1.
    """
    sets, ones = classes(graph, states), numbers(graph, states)
    like_x = next((members for members in sets if INPUT in members), frozenset[str]())
    given = dict.fromkeys(_meant(states, ones, like_x), hidden) if isinstance(hidden, int) else dict(hidden)
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
    """The states that one number is the width of: those as wide as the input are meant only where all others are."""
    vectors = [state for state in states if state not in ones]
    return [state for state in vectors if state not in like_x] or vectors


def _check_given(call: str, given: Mapping[str, int], known: set[str]) -> None:
    for name, width in given.items():
        if name not in known or isinstance(width, bool) or not isinstance(width, int) or width < 1:
            fixable = ", ".join(sorted(known - {OUTPUT}))
            raise NetworkError(call, "hidden must give names of the cell whole numbers of at least 1",
                               f"{shown(name)}: {shown(width)}", f"give the width of one of {fixable}")  # fmt: skip


def _width(call: str, members: frozenset[str], fixed: list[tuple[str, int]], hidden: object) -> int:
    """The one width of names that share it."""
    whose = ", ".join(sorted(members - {OUTPUT})) or "the output"
    if len({width for _, width in fixed}) > 1:
        got = ", ".join(f"{name}={width}" for name, width in fixed)
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
    nodes = graph.nodes
    labels = [_label(index, node) for index, node in enumerate(nodes)]
    wide = [not is_scalar(nodes, index) for index in range(len(nodes))]
    yield from ((state, state) for state in states)
    yield from ((labels[index], name) for name, index in graph.results if wide[index])
    for index, node in enumerate(nodes):
        if wide[index]:
            yield labels[index], labels[index]
        if node.op in MAPS:
            into = _ends(node)[1]
            yield (labels[node.args[0]] if wide[node.args[0]] else into), into
        if node.op in PRIMITIVES and wide[index]:
            yield from ((labels[arg], labels[index]) for arg in node.args if wide[arg])


def _label(index: int, node: Node) -> str:
    if node.op in MAPS:
        return _ends(node)[0]
    prefix = {"x": INPUT, "input": "x.", "vector": "p.", "state": ""}.get(node.op)
    return f"#{index}" if prefix is None else prefix + node.name


def _ends(node: Node) -> tuple[str, str]:
    """The labels of what a map gives and of what it reads; a transposed one gives what the map reads."""
    ends = f"R.{node.name}", f"{node.name}.R"
    return ends if node.op == "map" else ends[::-1]


def _public(members: set[str]) -> frozenset[str]:
    return frozenset(label for label in members if not label.startswith("#"))
