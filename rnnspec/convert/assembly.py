"""A network assembled from the parts of another framework or format, and taken apart into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np

from rnnspec.convert.activations import Activation
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.convert.grown import Grown, activating, same_memory
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.embedding import Embedding
from rnnspec.errors import (
    ArgumentError,
    BackendUnavailable,
    DtypeError,
    NetworkError,
    ShapeError,
    TreeError,
    UnsupportedError,
)
from rnnspec.feed_forward import FeedForward, LayerNorm, RMSNorm
from rnnspec.layer import DIRECTIONS, Layer
from rnnspec.network import Network
from rnnspec.output import Dense, Read, Tied
from rnnspec.tree import Tree, leaves

__all__ = ["Apart", "Assembly", "Embeds", "Part", "check_params", "framework", "numbers", "taken_apart", "tree_of"]

Array = Any


def framework(call: str, module: str) -> Any:
    """The imported module of a framework; raises BackendUnavailable where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise BackendUnavailable(call, f"{module} must be installed", str(error), f"pip install {module}") from error


def numbers(call: str, name: str, array: Array) -> Array:
    """A NumPy array in float32 or float64; half precision becomes float32, which is exact.

    Raises DtypeError where the array does not hold floating-point numbers.
    """
    found = np.asarray(array)
    if found.dtype.name in ("float16", "bfloat16"):
        return found.astype(np.float32)
    if found.dtype not in (np.float32, np.float64):
        raise DtypeError(call, f"{name} must hold floating-point numbers", f"dtype {found.dtype}",
                         "convert it to float32 or float64")  # fmt: skip
    return found


class Assembly:
    """A network that grows part by part, with its parameters and notes.

    Parts without a state after the last recurrent layer become the `head`, and the last of them the `output`, if it is
    a dense layer without an activation.
    """

    def __init__(self, call: str) -> None:
        self.call, self.notes = call, list[PlacedNote]()
        self._parts = list[Grown]()
        self._seen: list[Any] = []
        self._inputs: int | Embedding = 0
        self._table: Array = None
        self._ending = ""

    @property
    def index(self) -> int:
        """The number of parts so far."""
        return len(self._parts)

    @property
    def place(self) -> str:
        """The next layer's name; where the part becomes a layer of the head, or the output, notes have its new name."""
        return f"layers.{len(self._parts)}"

    def see(self, place: str, weights: Iterable[Any]) -> None:
        """Note where a weight of this place was seen in another place."""
        found = list(weights)
        if any(weight is known for weight in found for known in self._seen):
            self.notes.append(PlacedNote(place, Note.SHARED))
        self._seen += found

    def note(self, what: Note, detail: str = "") -> None:
        """Add a note on the part that comes next."""
        self.notes.append(PlacedNote(self.place, what, detail))

    def one_kind(self, rows: Iterable[Layout]) -> Layout:
        """The one row of all halves of a layer; raises UnsupportedError where halves differ."""
        first, *others = rows
        if any(other is not first for other in others):
            raise UnsupportedError(self.call, "both directions must be of one kind",
                                   " and ".join(row.kind for row in (first, *others)),
                                   "use one kind for both")  # fmt: skip
        return first

    def add_layer(self, layout: Layout, halves: Mapping[str, Mapping[str, Array]]) -> None:
        """Add a recurrent layer with the tensors of its halves, `forward` before `reverse`."""
        given, hidden = layout.widths(next(iter(halves.values())))
        inputs = self._before(given, f"a {layout.kind}")
        shapes = dict(leaves(layout.cell.parameter_shapes(inputs, hidden)))
        params = {}
        for half, tensors in halves.items():
            maps, notes = layout.unpack(self.call, f"{self.place}.{half}", tensors, shapes)
            params[half] = tree_of(maps)
            self.notes += [PlacedNote(f"{self.place}.{half}", what) for what in notes]
        direction = next(name for name, present in DIRECTIONS.items() if present == tuple(halves))
        seen = inputs if layout.cell.reads_input else None
        layer = Layer(layout.cell, hidden, direction, inputs=seen)
        self._parts.append(Grown(layer, params, layer.width))

    def add_embedding(self, table: Array) -> None:
        """Begin with an embedding: `table` (classes, features)."""
        if self._parts or self._table is not None or table.ndim != 2:
            self.refuse("an embedding must be the first part, a matrix (classes, features)", f"one of {table.shape}")
        self._inputs, self._table = Embedding(*table.shape), table

    def add_dense(self, weight: Array, bias: Array | None) -> None:
        """Add a dense layer: `weight` (features, width), `bias` (features) or None."""
        width = self._before(weight.shape[-1], "a dense layer")
        if weight.ndim != 2 or weight.shape[1] != width or (bias is not None and bias.shape != weight.shape[:1]):
            raise ShapeError(self.call, f"{self.place} must have W (features, {width}) and b (features)",
                             f"{weight.shape} and {None if bias is None else bias.shape}",
                             "give the parts of one model")  # fmt: skip
        if bias is None:
            self.note(Note.NO_BIAS)
            bias = np.zeros(len(weight), weight.dtype)
        self._add(Dense(len(weight)), {"W.y": weight.copy(), "b.y": bias.copy()}, len(weight), weight)

    add_output = add_dense

    def add_norm(self, norm: LayerNorm | RMSNorm, scale: Array | None, shift: Array | None) -> None:
        """Add a norm with its learned numbers; None stands for those that it does not have."""
        learned = [a for a in (scale, shift) if a is not None]
        width = self._before(len(learned[0]) if learned else 0, "a norm")
        names = ("p.scale", "p.shift")[: 2 if isinstance(norm, LayerNorm) else 1]
        if width < 1 or any(a.shape != (width,) for a in learned):
            raise ShapeError(self.call, f"a norm at {self.place} must be over the {width or ''} features before it",
                             ", ".join(str(a.shape) for a in learned) or "a norm of any width at the beginning",
                             "give the parts of one model")  # fmt: skip
        if len(learned) < len(names):
            self.note(Note.PLAIN_NORM)
        dtype = learned[0].dtype if learned else self._dtype
        fill = {"p.scale": np.ones(width, dtype), "p.shift": np.zeros(width, dtype)}
        found = {"p.scale": scale, "p.shift": shift}
        self._add(norm, {name: fill[name] if (a := found[name]) is None else a.copy() for name in names}, width)

    def add_activation(self, name: str, function: Activation | None = None) -> None:
        """Apply an activation to what the last part gives; one without a function must be the last."""
        width = self._before(0, f"a {name}")
        last = self._parts[-1] if self._parts else None
        if function is None:
            self._ending = name
        elif last is not None and isinstance(last.layer, Dense) and not last.activation:
            self._parts[-1] = replace(last, layer=Dense(last.width, function), activation=name)
        else:
            self._add(Layer(activating(function), width), {}, width)

    def add_residual(self) -> None:
        """Add the inputs of the last part to its outputs."""
        last = self._parts[-1]
        layer = last.layer
        own = Layer(layer.cell, last.width, initial=layer.initial) if isinstance(layer, FeedForward) else layer
        self._parts[-1] = replace(last, layer=replace(own, residual=True), activation=last.activation or "residual")

    def _add(self, layer: Layer | FeedForward, maps: Mapping[str, Array], width: int, given: Array = None) -> None:
        """Add a part without a state."""
        self._parts.append(Grown(layer, {"forward": tree_of(maps)}, width, given=given))

    @property
    def _dtype(self) -> Any:
        return next((a.dtype for part in self._parts for _, a in leaves(part.params)), np.dtype("float32"))

    def _before(self, given: int, what: str) -> int:
        """The features that a part sees, of which it was made for as many as are given."""
        if self._ending:
            self.refuse(f"the activation {self._ending} must come last", f"{what} after it")
        if self._parts:
            return self._parts[-1].width
        if self._table is not None:
            return int(self._table.shape[1])
        if not given:
            self.refuse("the first part must show how many features it takes", what)
        self._inputs = given
        return given

    def refuse(self, must: str, got: str) -> None:
        """Raise the NetworkError of parts that make no network."""
        raise NetworkError(self.call, must, got, "give recurrent layers, dense layers, norms and activations; what "
                           "stands before and after another layer makes two networks")  # fmt: skip

    def finish(self, read: Read) -> Imported:
        """The finished network with this `read`."""
        end = max((i + 1 for i, part in enumerate(self._parts) if part.recurrent), default=0)
        if not self._parts:
            self.refuse("the parts must hold a recurrent layer", "none")
        if not end:
            self.refuse("a dense layer must stand beside a recurrent layer", "one elsewhere")
        layers, after = self._parts[:end], self._parts[end:]
        output = after.pop() if after and after[-1].is_logits else None
        ending = self._ending or (output.activation if output else "")
        places = {f"layers.{end + i}": f"head.{i}" for i in range(len(after))}
        places[f"layers.{end + len(after)}"] = "output"
        tied = output is not None and same_memory(output.given, self._table)
        notes = [replace(note, place=places.get(note.place, note.place)) for note in self.notes]
        notes = [note for note in notes if not (tied and (note.place, note.what) == ("output", Note.SHARED))]
        notes += [PlacedNote("output" if output else "", Note.ACTIVATION, ending)] if ending else []
        last = None if output is None else Tied() if tied else Dense(output.width)
        net = Network(self._inputs, [part.layer for part in layers], read, last, head=[part.layer for part in after])
        params: Tree = {} if self._table is None else {"embedding": {"E": self._table.copy()}}
        params["layers"] = [part.params for part in layers]
        if after:
            params["head"] = [part.params for part in after]
        if output is not None:
            params["output"] = {kind: output.params["forward"][kind]["y"] for kind in ("b" if tied else "Wb")}
        return Imported(net, params, tuple(notes))


class Embeds(Enum):
    """What a writer does with class numbers."""

    NEVER = "it has none"
    APART = "it looks them up, and cannot tie an output to them"
    TIED = "it looks them up, and may tie an output to them"


@dataclass(frozen=True)
class Part:
    """One layer to export: its row of the table, and its tensors by half."""

    layer: Layer
    inputs: int
    layout: Layout
    tensors: dict[str, dict[str, Array]]


@dataclass(frozen=True)
class Apart:
    """A network taken apart: its layers, the output layer's `W` and `b` or None, the precision, and the notes.

    `embedding` is the matrix of class numbers, which is also the `W` of a tied output, or None.
    """

    parts: list[Part]
    output: Tree | None
    dtype: str
    notes: tuple[PlacedNote, ...]
    embedding: Array | None = None


def taken_apart(
    call: str, target: str, layouts: Sequence[Layout], net: Network, params: Tree, dtype: str | None = None,
    embeds: Embeds = Embeds.NEVER,
) -> Apart:
    """The layers as tensors of the target framework, in the precision of the parameters or in `dtype`.

    `embeds` says what the writer does with class numbers. Raises UnsupportedError where the target lacks the cell, or
    has no place for a map that is not 0.
    """
    check_params(call, net, params)
    given = np.result_type(*(a.dtype for _, a in leaves(params)))
    kept = dtype or ("float64" if given == np.float64 else "float32")
    notes = [PlacedNote("", Note.ROUNDED)] if given.itemsize > np.dtype(kept).itemsize else []
    parts = []
    _check_plain(call, target, net, embeds)
    for i, layer in enumerate(net.layers):
        row, tensors = _row(call, target, layouts, f"layers.{i}", layer), {}
        for half in layer.halves:
            place = f"layers.{i}.{half}"
            maps = {name: np.asarray(a, kept) for name, a in leaves(params["layers"][i][half])}
            _check_absent(call, target, place, row, maps)
            row.check_fits(call, place, {name: a.shape for name, a in maps.items()})
            tensors[half] = row.pack(maps)
            notes += [PlacedNote(place, what) for what in row.written_notes()]
        notes += [PlacedNote(f"layers.{i}", Note.POLICY)] if layer.gradient is not None else []
        notes += [PlacedNote(f"layers.{i}", Note.NOISE)] if layer.noises else []
        parts.append(Part(layer, net.layer_inputs(i), row, tensors))
    notes += [PlacedNote("", Note.OBJECTIVE)] if net.loss is not None else []
    beside: dict[str, dict[str, Any]] = {
        place: {name: np.asarray(a, kept) for name, a in params[place].items()}
        for place in ("embedding", "output") if place in params
    }  # fmt: skip
    table, output = beside.get("embedding", {}).get("E"), beside.get("output")
    if isinstance(net.output, Tied):
        output = {"W": table, "b": beside["output"]["b"]}
    return Apart(parts, output, kept, tuple(notes), table)


def _check_plain(call: str, target: str, net: Network, embeds: Embeds) -> None:
    """Raise UnsupportedError where a network is more than layers, an output layer, and what the writer embeds."""
    odd = [str(net.inputs)] if isinstance(net.inputs, Embedding) and embeds is Embeds.NEVER else []
    odd += [str(net.output)] if isinstance(net.output, Tied) and embeds is not Embeds.TIED else []
    odd += [f"layers.{i} learned_state" for i, layer in enumerate(net.layers) if layer.learned_state]
    odd += [f"layers.{i} residual" for i, layer in enumerate(net.layers) if layer.residual]
    odd += [f"layers.{i} {layer.noises}" for i, layer in enumerate(net.layers)
            if layer.passes or layer.evaluated != layer.cell]  # fmt: skip
    odd += [f"a head of {len(net.head)}"] if net.head else []
    if odd:
        raise UnsupportedError(call, f"a network for {target} must have recurrent layers and an output layer only",
                               odd[0], "run it with a backend of rnnspec")  # fmt: skip


def _row(call: str, target: str, layouts: Sequence[Layout], place: str, layer: Layer) -> Layout:
    row = layout_for(layouts, layer.cell)
    if row is None:
        names = ", ".join(dict.fromkeys(known.cell.name for known in layouts))
        raise UnsupportedError(call, f"the cell must be one that {target} has: {names}",
                               f"{layer.cell.label} in {place}",
                               "run it with a backend of rnnspec, or choose one of these cells")  # fmt: skip
    return row


def _check_absent(call: str, target: str, place: str, row: Layout, maps: Mapping[str, Array]) -> None:
    for name in sorted(row.absent):
        if maps[name].any():
            raise UnsupportedError(call, f"{name} of {place} must be zeros: {target}'s {row.kind} has no place for it",
                                   f"numbers up to {np.abs(maps[name]).max():.3g}",
                                   "train without it, or convert to another framework")  # fmt: skip


def check_params(call: str, net: Network, params: Tree) -> None:
    """Raise an error where `params` are not the parameters of the network, as NumPy arrays in a nested tree."""
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", type(net).__name__, "write rnnspec.Network(...)")
    expected, found = dict(leaves(net.parameter_shapes())), dict(leaves(params))
    odd = sorted(expected.keys() ^ found.keys())
    if odd:
        got = f"no {odd[0]}" if odd[0] in expected else f"the name {odd[0]}"
        raise TreeError(call, "params must have the names that the network declares", got,
                        "give the parameters of this network")  # fmt: skip
    if "layers" not in params:
        raise TreeError(call, "params must be a nested tree, as net.init gives it", "one dict of dotted names",
                        "read the file with rnnspec.load")  # fmt: skip
    for name, shape in expected.items():
        if not isinstance(found[name], np.ndarray) or found[name].dtype.kind != "f":
            raise ArgumentError(call, f"{name} must be a NumPy array of floating-point numbers",
                                f"{type(found[name]).__name__}", "convert the tree with be.to_numpy")  # fmt: skip
        if found[name].shape != shape:
            raise ShapeError(call, f"{name} must have the shape {shape}", f"shape {found[name].shape}",
                             "give the parameters of this network")  # fmt: skip


def tree_of(maps: Mapping[str, Array]) -> Tree:
    """One half's tree of parameters, from maps by dotted name."""
    tree: Tree = {kind: {} for kind in ("W", "b", "U", "p")}
    for name in sorted(maps):
        kind, _, gate = name.partition(".")
        tree[kind][gate] = maps[name]
    return tree
