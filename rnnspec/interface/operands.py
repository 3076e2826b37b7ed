"""Validation of a recurrence whose x.name are given: its heads and widths are those that the arrays show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError
from rnnspec.interface import validation
from rnnspec.interface.adoption import check_array, own_tree
from rnnspec.interface.owner import Owner
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.ranks import VECTOR
from rnnspec.tracing.widths import INPUT, OUTPUT, axes
from rnnspec.tree import Shape, Tree, leaves

__all__ = ["Asked", "arguments", "cotangents"]

KINDS = {"U": "R", "p": "p"}
"""What the equations call the parameters of each kind."""


@dataclass(frozen=True)
class Asked:
    """A layer without maps as a network, and the backend's own arrays for it."""

    net: Network
    given: Tree
    params: Tree
    state: Tree
    lengths: Array | None
    resets: Array | None

    @property
    def arrays(self) -> tuple[Tree, ...]:
        """The arrays in the order of a call."""
        return self.given, self.params, self.state, self.lengths, self.resets


@dataclass(frozen=True)
class _Part:
    """An array by its place in the call, with its name in the equations, and the names of its widths."""

    place: str
    name: str
    shape: tuple[int, ...]
    widths: tuple[str, ...]
    outer: int

    @property
    def heads(self) -> tuple[int, ...]:
        """The axis of heads, or none."""
        return self.shape[self.outer : len(self.shape) - len(self.widths)]


def arguments(
    backend: Owner, method: str, cell: Any, given: Any, params: Any, state: Any, lengths: Any, resets: Any,
    gradient: bool = False,
) -> Asked:
    """The layer that the arrays show, and the arrays as the backend's own; a missing state is zeros."""
    call = f"{backend.name}.{method}(...)"
    if not isinstance(cell, Cell) or cell.heads is not None or cell.given is not None:
        raise ArgumentError(call, "cell must be a cell without heads, which the arrays show", shown(cell),
                            "give a cell of rnnspec.cells, or one that @rnnspec.cell declares")  # fmt: skip
    learned = _learned(call, cell, {} if params is None else params)
    _check_names(call, "given", given, _inputs(cell))
    if state is not None:
        _check_names(call, "state", state, cell.states)
    parts = list(_parts(backend, call, cell, {"given": given, "params": learned, "state": state or {}}))
    heads = _heads(call, parts)
    layer = _layer(call, cell, heads, parts)
    net = Network(sum(width for _, width in layer.cell.given or ()), [layer])
    validation.check_capabilities(backend, call, net, gradient)
    own = own_tree(backend, call, "given", dict(given), _shapes(parts, "given", parts[0].shape[:2]))
    _, ends, begun = validation.around(backend, call, net, own[next(iter(own))], None, lengths, resets)
    if state is None:
        first = {name: backend.zeros((parts[0].shape[1], *shape)) for name, shape in layer.state_shapes.items()}
    else:
        first = own_tree(backend, call, "state", dict(state), _states(layer, parts[0].shape[1]))
    return Asked(net, own, own_tree(backend, call, "params", learned, _like(learned)), first, ends, begun)


def cotangents(
    backend: Owner, method: str, asked: Asked, output_cotangent: Any, state_cotangent: Tree
) -> tuple[Array, Tree]:
    """The cotangents of the outputs and of the final state, zeros if None, as the backend's own arrays."""
    call, layer = f"{backend.name}.{method}(...)", asked.net.layers[0]
    steps, batch = next(iter(asked.given.values())).shape[:2]
    split = () if layer.heads is None else (layer.heads,)
    width = layer.half_width // (layer.heads or 1)
    output = own_tree(backend, call, "output_cotangent", output_cotangent, Shape((steps, batch, *split, width)))
    shapes = _states(layer, batch)
    if state_cotangent is None:
        return output, {name: backend.zeros(shape) for name, shape in shapes.items()}
    return output, own_tree(backend, call, "state_cotangent", state_cotangent, shapes)


def _inputs(cell: Cell) -> tuple[str, ...]:
    """The names of what a cell reads of an input."""
    return (*sorted(cell.graph.names("input")), *((INPUT,) if cell.reads_input else ()))


def _learned(call: str, cell: Cell, params: Any) -> Tree:
    """The parameters with both kinds, of which a cell without such names may leave one out."""
    names = cell.parameter_names
    _check_names(call, "params", params, tuple(params) if isinstance(params, Mapping) and set(params) <= set(KINDS) else
                 tuple(kind for kind in KINDS if names[kind]))  # fmt: skip
    found = {kind: params.get(kind, {}) for kind in KINDS}
    for kind, named in found.items():
        _check_names(call, f"params.{kind}", named, tuple(sorted(names[kind])))
    return found


def _check_names(call: str, what: str, found: Any, expected: tuple[str, ...]) -> None:
    if not isinstance(found, Mapping):
        raise ArgumentError(call, f"{what} must map names to arrays", type(found).__name__,
                            f"write {{{', '.join(f'{name!r}: ...' for name in expected)}}}")  # fmt: skip
    if set(found) != set(expected):
        wrong = [shown(name) for name in found if name not in expected]
        missing = [f"no {name}" for name in expected if name not in found]
        raise TreeError(call, f"{what} must have the names of the equations: {', '.join(expected) or 'none'}",
                        ", ".join(missing + wrong), "give an array for each of them")  # fmt: skip


def _parts(backend: Owner, call: str, cell: Cell, trees: Mapping[str, Tree]) -> Iterator[_Part]:
    """Every array that is given, with the names of its widths."""
    for what, tree in trees.items():
        for dotted, array in leaves(tree):
            place = f"{what}.{dotted}"
            check_array(backend, call, place, array)
            name, widths, outer = _described(cell, what, dotted)
            shape = tuple(int(size) for size in array.shape)
            if len(shape) - outer - len(widths) not in (0, 1):
                before = ("time", "batch")[2 - outer :] if outer else ()
                own = ", ".join((*before, *_axes(widths)))
                headed = ", ".join((*before, "heads", *_axes(widths)))
                raise ShapeError(call, f"{place} must be ({own}), or ({headed})", f"shape {shape}", "reshape it")
            yield _Part(place, name, shape, widths, outer)


def _axes(widths: tuple[str, ...]) -> tuple[str, ...]:
    return ("width",) if len(widths) == VECTOR else ("rows", "columns")


def _described(cell: Cell, what: str, dotted: str) -> tuple[str, tuple[str, ...], int]:
    """The name of an array in the equations, those of its widths, and the number of axes before heads."""
    if what == "given":
        name = dotted if dotted == INPUT and cell.reads_input else f"x.{dotted}"
        return name, (name,), 2
    if what == "state":
        return dotted, axes(dotted, cell.ranks[dotted]), 1
    kind, _, own = dotted.partition(".")
    name = f"{KINDS[kind]}.{own}"
    return name, (name, f"{own}.R") if kind == "U" else axes(name, cell.ranks[name]), 0


def _heads(call: str, parts: list[_Part]) -> int | None:
    if not any(part.place.startswith("given") for part in parts):
        raise UnsupportedError(call, "the equations must read an input", "none", "call run with a network")
    found = {part.heads: part.place for part in parts if part.heads}
    if len(found) > 1:
        got = ", ".join(f"{place} with {heads}" for (heads,), place in found.items())
        raise ShapeError(call, "all arrays with an axis of heads must have equally many", got, "give each head its own")
    return next(iter(found))[0] if found else None


def _layer(call: str, cell: Cell, heads: int | None, parts: list[_Part]) -> Layer:
    """The layer without maps whose widths, heads, and what these share, are those of the arrays."""
    sizes = {name: size for part in parts
             for name, size in zip(part.widths, part.shape[-len(part.widths) :], strict=True)}  # fmt: skip
    places = {name: part.place for part in parts for name in part.widths}
    hidden, own = dict[str, int](), None
    for members in cell.width_classes:
        seen = {name: sizes[name] for name in sorted(members) if name in sizes}
        seen |= {"a number": 1} if members & cell.numbers else {}
        if len(set(seen.values())) > 1:
            got = ", ".join(f"{places.get(name, name)} with {size}" for name, size in seen.items())
            raise ShapeError(call, f"the widths of {', '.join(sorted(members - {OUTPUT}))} must be equal", got,
                             "give arrays of one width")  # fmt: skip
        if not seen:
            raise ShapeError(call, f"an array must show the width of {', '.join(sorted(members - {OUTPUT}))}", "none",
                             "give the state")  # fmt: skip
        size = next(iter(seen.values()))
        own = size if INPUT in members else own
        names = sorted(members - {OUTPUT, INPUT} - cell.numbers)
        hidden |= {names[0]: size} if names and not members & cell.numbers else {}
    shared = tuple(part.name for part in parts if heads and not part.heads and not part.place.startswith("state"))
    split = 1 if heads is None or INPUT in shared else heads
    return Layer(cell, hidden, heads=heads, shared=shared, inputs=None if own is None else split * own, mapped=False)


def _shapes(parts: list[_Part], what: str, outer: tuple[int, ...]) -> Tree:
    return {part.place.partition(".")[2]: Shape((*outer, *part.shape[len(outer) :])) for part in parts
            if part.place.partition(".")[0] == what}  # fmt: skip


def _states(layer: Layer, batch: int) -> Tree:
    return {name: Shape((batch, *shape)) for name, shape in layer.state_shapes.items()}


def _like(learned: Tree) -> Tree:
    return {kind: {name: Shape(a.shape) for name, a in named.items()} for kind, named in learned.items()}
