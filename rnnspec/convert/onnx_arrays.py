"""How the arrays of an ONNX model stand beside those of the network that is read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnnspec.convert.conversion import Note, PlacedNote
from rnnspec.convert.onnx_chain import Chain
from rnnspec.convert.onnx_features import Entry, Half, Lookup
from rnnspec.convert.onnx_flow import Axis, Flow
from rnnspec.errors import UnsupportedError

if TYPE_CHECKING:
    from rnnspec.convert.onnx_graph import Graph

__all__ = ["array_notes", "state_notes"]


def array_notes(graph: Graph, entry: Entry | Lookup, value: Flow, last: bool) -> list[PlacedNote]:
    """The notes on the axes of the input and of the output."""
    given, classes = graph.values[entry.name].axes, isinstance(entry, Lookup)
    notes = _order(graph, entry.name, [None if i == entry.axis else axis for i, axis in enumerate(given)],
                   len(given) == (2 if classes else 3))  # fmt: skip
    if len(given) < (2 if classes else 3):
        notes.append(PlacedNote("", Note.ONE_ROW))
    notes += _order(graph, "the output", list(value.axes), len(value.axes) == 3 and not last)
    if len(value.axes) > (2 if last else 3):
        notes.append(PlacedNote("", Note.DIRECTION_AXIS))
    if value.turned:
        notes.append(PlacedNote("", Note.AXES, "the output gives the last time first"))
    return list(dict.fromkeys(notes))


def _order(graph: Graph, name: str, axes: list[Axis], steps: bool) -> list[PlacedNote]:
    """The note on axes that do not stand as time, batch and features do; `steps` says that there is an axis of time."""
    every = [_named(graph, axis) for axis in axes]
    found = [what for what in every if what]
    # An axis of length 1 beside time is that of the batch, and one beside the batch is that of time.
    if found[:2] == ["batch", "time"] or (steps and every[:2] in (["", "time"], ["batch", ""])):
        return [PlacedNote("", Note.BATCH_FIRST)] if {*found[2:]} <= {"feature"} else _other(name, found)
    plain = [what for what in ("time", "batch", "feature") if what in found]
    return [] if [what for i, what in enumerate(found) if what not in found[i + 1:]] == plain else _other(name, found)


def _other(name: str, found: list[str]) -> list[PlacedNote]:
    return [PlacedNote("", Note.AXES, f"{name} ({', '.join(found)})")]


def _named(graph: Graph, axis: Any) -> str:
    """The name of an axis; one of length 1 has none."""
    if axis == ():
        return ""
    names = {graph.time: "time", graph.batch: "batch", None: "feature"}
    if axis in names:
        return names[axis]
    return " and ".join("time" if (part,) == graph.time else "batch" for part in axis)


def state_notes(graph: Graph, chain: Chain, finals: Mapping[str, Sequence[Half]]) -> list[PlacedNote]:
    """The note on states that are inputs and outputs of the graph."""
    halves = {half for link in chain.links for half in link.stages if isinstance(half, Half)}
    own = [initial for initial in graph.initials if initial.half in halves]
    for initial in own:
        if initial.name == chain.entry.name:
            raise UnsupportedError(graph.call, f"{initial.operand} must be an input of its own, or zeros",
                                   f"a part of {initial.name!r} in {initial.operator}",
                                   "cut the graph there, and give the state to `run`")  # fmt: skip
    names = list(dict.fromkeys(initial.name for initial in own if initial.name))
    parts = [", ".join(each) for each in (names, finals) if each]
    return [PlacedNote("", Note.STATES, "; ".join(parts))] if parts else []
