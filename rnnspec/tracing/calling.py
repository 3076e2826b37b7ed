"""A cell called with values: by numbers, by symbols, or within the equations of another cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rnnspec.errors import EquationError
from rnnspec.primitives import Expression
from rnnspec.showing import shown
from rnnspec.tracing.graph import MAPS, Graph, Input, Node, Vector, as_vector
from rnnspec.tracing.leaves import parameters
from rnnspec.tracing.widths import OUTPUT

__all__ = ["prefixed", "results", "returned"]


def results(graph: Graph, x: Any, R: Any, p: Any, states: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The output and the new states of equations, computed with any values that have `apply`."""
    leaves: dict[str, Callable[[str], Any]] = {
        "x": lambda _: as_vector(x),
        "input": lambda name: getattr(x, name),
        "vector": lambda name: getattr(p, name),
        "state": lambda name: states[name],
    }
    maps: dict[str, Callable[[str], Any]] = {
        "map": lambda name: getattr(R, name),
        "transposed": lambda name: getattr(R, name).T,
    }

    def apply(node: Node, operands: list[Any]) -> Any:
        if node.op in leaves:
            return leaves[node.op](node.name)
        if node.op in maps:
            return maps[node.op](node.name)(operands[0])
        if node.op == "constant":
            return node.value
        return next(v for v in operands if isinstance(v, Expression)).apply(node.op, *operands)

    found = graph.evaluate(apply)
    return found.pop(OUTPUT), found


def returned(name: str, graph: Graph, states: Sequence[str], arguments: Sequence[Any]) -> Any:
    """What the equations of a cell return for the arguments of its declaration, in those of another cell."""
    call, names = f"{name}(...)", [*_read(graph), *states]
    if len(arguments) != len(names):
        raise EquationError(call, f"a cell called in equations must be given {', '.join(names)}",
                            f"{len(arguments)} arguments", "give each, in this order")  # fmt: skip
    given = dict(zip(names, arguments, strict=True))
    old = {state: as_vector(given[state]) for state in states}
    odd = next((v for v in old.values() if not isinstance(v, Vector)), None)
    if odd is not None:
        raise EquationError(call, "every state must be a vector of these equations", shown(odd),
                            "call a cell with states in equations only, and with dt=0.1 anywhere")  # fmt: skip
    builder = next((v.builder for v in map(as_vector, arguments) if isinstance(v, Vector)), None)
    if builder is None:
        raise EquationError(call, "a cell called in equations must be given a vector of these equations", "none",
                            "give x, or a state")  # fmt: skip
    own = parameters(builder)
    x = given.get("x", own["x"])
    inputs = x if isinstance(x, Input) else _mapped(x, own["R"], own["p"])
    output, new = results(graph, inputs, given.get("R", own["R"]), given.get("p", own["p"]), old)
    found = [new[state] for state in states]
    if not states or graph.result(OUTPUT) != graph.result(states[0]):
        found.insert(0, output)
    return found[0] if len(found) == 1 else tuple(found)


def prefixed(call: str, graph: Graph, prefix: str) -> Graph:
    """The graph with a prefix before the name of every map and vector."""
    if not isinstance(prefix, str) or not prefix.isidentifier() or prefix.startswith("_"):
        raise EquationError(call, "the prefix must be an identifier that begins with a letter", shown(prefix),
                            "write one, such as 'fast'")  # fmt: skip
    named = ("input", "vector", *MAPS)
    nodes = (replace(n, name=f"{prefix}_{n.name}") if n.op in named else n for n in graph.nodes)
    return Graph(tuple(nodes), graph.results)


def _read(graph: Graph) -> list[str]:
    """Those of x, R and p that the equations read."""
    letters = {"x": ("x", "input"), "R": MAPS, "p": ("vector",)}
    ops = {node.op for node in graph.nodes}
    return [letter for letter, own in letters.items() if ops.intersection(own)]


def _mapped(vector: Any, R: Any, p: Any) -> Input:
    """A vector in the place of `x`: `x.name` is a recurrent map of it and a learned bias."""
    return Input(vector, lambda name: getattr(R, f"x_{name}")(vector) + getattr(p, f"x_{name}"))
