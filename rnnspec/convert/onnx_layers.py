"""The network of a chain of stages: its layers with their parameters, its head and its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.convert.assembly import tree_of
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout
from rnnspec.convert.onnx_arrays import array_notes, state_notes
from rnnspec.convert.onnx_cells import FORWARD, row_of
from rnnspec.convert.onnx_chain import Broken, Chain
from rnnspec.convert.onnx_features import Half, Lookup, Norm
from rnnspec.convert.onnx_flow import Flow
from rnnspec.convert.onnx_parts import Part, parts_of
from rnnspec.embedding import Embedding
from rnnspec.errors import ShapeError, UnsupportedError
from rnnspec.feed_forward import LayerNorm
from rnnspec.layer import DIRECTIONS, Layer
from rnnspec.network import Network
from rnnspec.output import Dense, Last, Steps, Tied
from rnnspec.tracing.cell import Cell, cell
from rnnspec.tree import Tree, leaves

if TYPE_CHECKING:
    from rnnspec.convert.onnx_graph import Graph

__all__ = ["built"]

Array = Any


@dataclass(frozen=True, eq=False)
class _Made:
    """One layer with its parameters by half, and notes by the name of a half or the empty name."""

    layer: Layer
    params: Tree
    notes: list[tuple[str, Note, str]] = field(default_factory=list)

    def placed(self, place: str) -> list[PlacedNote]:
        return [PlacedNote(f"{place}.{half}" if half else place, what, detail) for half, what, detail in self.notes]


def built(graph: Graph, chain: Chain, value: Flow, finals: Mapping[str, Sequence[Half]]) -> Imported:
    """The network of a chain that ends in `value`; `finals` are the outputs that are final states."""
    parts, ending = parts_of(chain.links)
    _check_order(parts)
    made, columns, width = list[_Made](), chain.columns, chain.entry.width
    for part in parts:
        made.append(_made(graph, part, columns, width))
        columns, width = part.columns, part.width
    _note_shared(parts, made)
    split = _split(parts, made)
    layers, head = made[:split], made[split:]
    output = head.pop() if head and _is_output(parts[-1]) else None
    last = any(part.time for part in parts)
    table = chain.entry.table if isinstance(chain.entry, Lookup) else None
    inputs = chain.entry.width if table is None else Embedding(*table.shape)
    tied = output is not None and table is not None and np.array_equal(output.params["forward"]["W"]["y"], table)
    dense = None if output is None else Tied() if tied else Dense(output.layer.width)
    net = Network(inputs, [each.layer for each in layers], Last() if last else Steps(), dense,
                  head=[each.layer for each in head])  # fmt: skip
    params: Tree = {} if table is None else {"embedding": {"E": np.array(table)}}
    params |= {"layers": [each.params for each in layers]}
    params |= {"head": [each.params for each in head]} if head else {}
    params |= {"output": {kind: output.params["forward"][kind]["y"] for kind in "Wb"[tied:]}} if output else {}
    notes = [note for i, each in enumerate(layers) for note in each.placed(f"layers.{i}")]
    notes += [note for i, each in enumerate(head) for note in each.placed(f"head.{i}")]
    notes += [PlacedNote("output", what, detail) for _, what, detail in output.notes] if output else []
    notes += [PlacedNote("output", Note.ACTIVATION, str(ending))] if ending else []
    notes += array_notes(graph, chain.entry, value, last)
    notes += state_notes(graph, chain, finals)
    return Imported(net, params, (*notes, *graph.notes))


def _check_order(parts: Sequence[Part]) -> None:
    """Raise Broken where no layer of a network is recurrent, or the last features leave in another order."""
    last = parts[-1]
    if not any(part.halves for part in parts):
        raise Broken(last.operator, "no recurrent node stands before it")
    if not np.array_equal(last.columns, np.arange(last.width)):
        raise Broken(last.operator, "its features leave the graph in another order, or not all of them")


def _split(parts: list[Part], made: list[_Made]) -> int:
    """The number of parts that are layers; all others are the head, and see what is read.

    Where the last time is read of a layer that runs in reverse, the layer after it sees all steps: a layer without a
    state has its last step there.
    """
    recurrent = max(i for i, part in enumerate(parts) if part.halves)
    read = next((i for i, part in enumerate(parts) if part.time), None)
    if read is None:
        return recurrent + 1
    if parts[read].time == "end" and any(half.direction == "reverse" for half in parts[read].halves):
        if read + 1 == len(parts):
            made.append(_Made(Layer(_same(), parts[read].width), {"forward": tree_of({})}))
        return read + 2
    return read + 1


def _is_output(part: Part) -> bool:
    return part.affine is not None and part.function is None and not part.residual


def _made(graph: Graph, part: Part, columns: Array, width: int) -> _Made:
    """The layer of a part that reads these columns of the features before it."""
    if not np.array_equal(np.sort(columns), np.arange(width)):
        raise Broken(part.operator, "it reads only some of the features before it")
    order = None if np.array_equal(columns, np.arange(width)) else np.argsort(columns)
    if part.halves:
        found = _recurrent(graph, part, order, width)
    elif part.affine is not None:
        found = _dense(part, order, width)
    elif order is not None:
        raise Broken(part.operator, "it reads the features before it in another order")
    else:
        found = _normed(part.norm) if part.norm is not None else _pointwise(part)
    if part.residual:
        found = replace(found, layer=replace(found.layer, residual=True))
    return replace(found, notes=[*found.notes, *(("", Note.FOLDED, str(operator)) for operator in part.folded)])


def _recurrent(graph: Graph, part: Part, order: Array, width: int) -> _Made:
    first = part.halves[0]
    layout, notes = _layout(part.halves), list[tuple[str, Note, str]]()
    tensors = {half.direction: _tensors(half, part, order) for half in part.halves}
    if FORWARD in layout.tensors:
        one = np.ones(first.node.width, np.float32)
        tensors = {name: own | {FORWARD: one if name == "forward" else 0 * one} for name, own in tensors.items()}
    _, hidden = layout.widths(tensors[first.direction])
    shapes = dict(leaves(layout.cell.parameter_shapes(width, hidden)))
    params, place = {}, f"the layer of {first.operator}"
    for name, own in tensors.items():
        maps, found = layout.unpack(graph.call, f"{name} of {place}", own, shapes)
        params[name] = tree_of(maps)
        notes += [(name, what, "") for what in found]
    direction = next(name for name, halves in DIRECTIONS.items() if halves == tuple(tensors))
    left = [name for i, name in enumerate(first.node.directions) if all(half.index != i for half in part.halves)]
    same = all(half.node is first.node for half in part.halves)
    notes += [("", Note.UNUSED, f"the {name} direction of {first.operator}") for name in left if same]
    learned = {half.direction: _initial(graph, half) for half in part.halves}
    if any(rows for rows in learned.values()):
        zeros = {state: np.zeros(first.node.width, np.float32) for state in layout.cell.states}
        params = {name: own | {"initial": zeros | learned[name]} for name, own in params.items()}
        return _Made(Layer(layout.cell, hidden, direction, learned_state=True), params, notes)
    return _Made(Layer(layout.cell, hidden, direction), params, notes)


def _initial(graph: Graph, half: Half) -> dict[str, Array]:
    """The initial states of one direction that are numbers, by the names of the states."""
    own = [initial for initial in graph.initials if initial.half is half]
    rows = {initial.state: initial.row for initial in own if initial.row is not None}
    if rows and len(rows) < len(own):
        raise UnsupportedError(graph.call, "initial states of a node must all be inputs, or all be numbers",
                               f"both in {half.operator}", "make both inputs, and give them to `run`")  # fmt: skip
    return rows


def _layout(halves: Sequence[Half]) -> Layout:
    """The row of both directions; raises Broken where they differ in more than activations."""
    first, *others = [half.node.variant(half.index) for half in halves]
    if any(replace(other, activations=first.activations) != first for other in others):
        raise Broken(halves[-1].operator, f"it differs from {halves[0].operator} beside it in more than activations")
    return row_of(first, *(other for other in others if other != first))


def _tensors(half: Half, part: Part, order: Array) -> dict[str, Array]:
    """The weights of one direction for the features before it as they stand there."""
    own = dict(half.node.tensors(half.index))
    if part.scale is not None:
        scale, weight = part.scale, own["W"].astype(np.float64)
        if scale.bias is not None:
            bias = own.get("B", np.zeros(2 * len(weight), own["W"].dtype)).astype(np.float64)
            bias[: len(weight)] += weight @ scale.bias
            own["B"] = bias.astype(own["W"].dtype)
        own["W"] = (weight * scale.weight).astype(own["W"].dtype)
    return own if order is None or own["W"].shape[1] != len(order) else own | {"W": own["W"][:, order]}


def _dense(part: Part, order: Array, width: int) -> _Made:
    affine, notes = part.affine, list[tuple[str, Note, str]]()
    assert affine is not None
    weight = np.diag(affine.weight) if affine.weight.ndim == 1 else affine.weight
    if weight.shape[1] != width:
        raise ShapeError("from_onnx(...)", f"the map of {part.operator} must read {width} features",
                         f"{weight.shape[1]}", "give a valid model")  # fmt: skip
    notes += [("", Note.BLOCKS, str(part.operator))] * (affine.weight.ndim == 1)
    notes += [("", Note.NO_BIAS, "")] * (affine.bias is None)
    bias = np.zeros(len(weight), weight.dtype) if affine.bias is None else affine.bias
    weight = weight if order is None else weight[:, order]
    function = part.function.function if part.function else None
    maps = {"W.y": np.array(weight), "b.y": np.array(bias, weight.dtype)}
    return _Made(Layer(Dense(len(weight), function).cell, len(weight)), {"forward": tree_of(maps)}, notes)


def _normed(norm: Norm) -> _Made:
    width, scale = len(norm.source), norm.scale
    shift = np.zeros_like(scale) if norm.shift is None else norm.shift
    maps = {"p.scale": np.array(scale), "p.shift": np.array(shift)}
    notes = [("", Note.NO_BIAS, "")] * (norm.shift is None)
    return _Made(Layer(LayerNorm(norm.epsilon).cell, width), {"forward": tree_of(maps)}, notes)


def _pointwise(part: Part) -> _Made:
    assert part.function is not None
    function, name = part.function.function, part.function.operator.node.op_type.lower()

    def equations(x: Any) -> Any:
        return function(x)

    equations.__name__ = name
    return _Made(Layer(cell(equations), part.width), {"forward": tree_of({})})


def _same() -> Cell:
    """The cell of a layer that gives what it reads, at steps of its own: `Last()` sees through a plain x."""

    def same(x: Any) -> Any:
        turned = -x
        return -turned

    return cell(same)


def _note_shared(parts: Sequence[Part], made: list[_Made]) -> None:
    """Note the layers whose weights an earlier layer has too."""
    seen = list[Any]()
    for i, part in enumerate(parts):
        own = [a for half in part.halves for a in half.node.weights.values()]
        own += [part.affine.weight.base] if part.affine is not None and part.affine.weight.base is not None else []
        own = list({id(a): a for a in own}.values())
        if any(a is known for a in own for known in seen):
            made[i] = replace(made[i], notes=[*made[i].notes, ("", Note.SHARED, "")])
        seen += own
