"""A network: layers of cells, the steps that are read, an output layer and a loss.

>>> from rnnspec import cells
>>> net = Network(inputs=3, layers=[Layer(cells.lstm, hidden=4, direction="bidirectional"), Layer(cells.gru, hidden=2)])
>>> net.layers[1].cell.name, net.layer_inputs(1)
('gru', 8)
>>> net.init(seed=0)["layers"][0]["reverse"]["U"]["f"].shape
(4, 4)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.checks import check_hashable, check_initial, is_size, require
from rnnspec.embedding import Embedding
from rnnspec.feed_forward import FeedForward
from rnnspec.initialisers import Initialiser, Uniform, Zeros
from rnnspec.layer import Layer
from rnnspec.losses import CTC, Loss
from rnnspec.noise.kinds import Dropout
from rnnspec.noise.passing import PASSING
from rnnspec.output import Dense, Last, Read, Steps, Tied
from rnnspec.tree import Shape, Tree, tree_map

__all__ = ["Network"]

@dataclass(frozen=True)
class Network:
    """A recurrent network over arrays `(time, batch, feature)`, or over class numbers `(time, batch)`.

    `inputs` is the number of input features, or an `Embedding` of class numbers; `layers` run one after the other.
    `read` selects `Steps()` or `Last()`. `head` are layers without a state that run on what is read. `output` is a
    `Dense` layer, `Tied()` to the embedding, or None for the outputs of the last of them. `loss` is one of
    `rnnspec.losses`, or None for a network that is not trained. `Dense`, `LayerNorm`, `RMSNorm` and `Dropout` in
    `layers` and `head` are short names, each of which becomes a `Layer`. Raises NetworkError where an argument is not
    valid or the parts do not fit.
    """

    inputs: int | Embedding
    layers: Sequence[Layer]
    read: Read = field(default=Steps())
    output: Dense | Tied | None = None
    loss: Loss | None = None
    head: Sequence[Layer] = ()

    if TYPE_CHECKING:  # what a call may give is more than what the network then has

        def __init__(
            self, inputs: int | Embedding, layers: Sequence[Layer | FeedForward | Dropout], read: Read = ...,
            output: Dense | Tied | None = ..., loss: Loss | None = ...,
            head: Sequence[Layer | FeedForward | Dropout] = ...,
        ) -> None: ...  # fmt: skip

    def __post_init__(self) -> None:
        call = "Network(...)"
        require(call, isinstance(self.inputs, Embedding) or is_size(self.inputs),
                "inputs must be a whole number of at least 1, or an Embedding", self.inputs,
                "give the number of input features")  # fmt: skip
        must, do = "layers must be at least one Layer", "write layers=[Layer(cell, hidden=...)]"
        layers = _listed(call, must, self.layers, do)
        require(call, bool(layers), must, self.layers, do)
        object.__setattr__(self, "layers", _joined(call, self.input_features, layers))
        require(call, not all(layer.passes for layer in self.layers), "layers must be more than dropout", self.layers,
                "write layers=[Layer(cell, hidden=...), Dropout(rate)]")  # fmt: skip
        head = _listed(call, "head must be layers", self.head, "write head=[Dense(features, activation)]")
        object.__setattr__(self, "head", _joined(call, self.layers[-1].width, head))
        for layer in self.head:
            require(call, not layer.cell.states and layer.direction == "forward",
                    "every layer of head must be forward and have a cell without a state", layer,
                    "put recurrent layers into layers")  # fmt: skip
        require(call, isinstance(self.read, Steps | Last), "read must be Steps() or Last()", self.read,
                "choose one of them")
        require(call, self.output is None or isinstance(self.output, Dense | Tied),
                "output must be a Dense, a Tied or None", self.output, "write output=Dense(features)")  # fmt: skip
        if isinstance(self.inputs, Embedding):
            check_initial(call, self.inputs.initial, {"E": {"E"}})
        if isinstance(self.output, Tied):
            self._check_tied(call, self.output)
        if isinstance(self.output, Dense):
            require(call, self.output.activation is None, "output must be without an activation", self.output,
                    "put it last in head: head=[..., Dense(features, activation)]")  # fmt: skip
            require(call, is_size(self.output.features), "features of Dense must be a whole number of at least 1",
                    self.output.features, "give the number of outputs")  # fmt: skip
            check_initial(call, self.output.initial, {"W": {"W"}, "b": {"b"}})
        require(call, self.loss is None or isinstance(self.loss, Loss), "loss must be a loss or None", self.loss,
                "choose one of rnnspec.losses")  # fmt: skip
        check_hashable(call, "loss", self.loss)
        if isinstance(self.loss, CTC):
            require(call, isinstance(self.read, Steps), "read must be Steps() where the loss is CTC", self.read,
                    "leave read out: Steps() is the default")  # fmt: skip
            blank = self.loss.blank
            require(call, type(blank) is int and 0 <= blank < self.features,
                    f"blank must be a class number of 0..{self.features - 1}", blank,
                    "choose a class number")  # fmt: skip

    def _check_tied(self, call: str, output: Tied) -> None:
        own, wide = self.inputs, self.width
        require(call, isinstance(own, Embedding), "inputs must be an Embedding where the output is Tied", own,
                "write inputs=Embedding(classes, features), or output=Dense(features)")  # fmt: skip
        require(call, wide == self.input_features, "the width that is read must be the features of the embedding, "
                f"{self.input_features}, where the output is Tied", wide, "make them equal")  # fmt: skip
        check_initial(call, output.initial, {"b": {"b"}})

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Cached: every call looks up its program by the network."""
        return hash((self.inputs, self.layers, self.read, self.output, self.loss, self.head))

    def layer_inputs(self, index: int) -> int:
        """The number of input features of a layer."""
        return self.layers[index - 1].width if index else self.input_features

    @property
    def input_features(self) -> int:
        """The number of features that the first layer sees."""
        return self.inputs.features if isinstance(self.inputs, Embedding) else self.inputs

    @cached_property
    def read_layer(self) -> Layer:
        """The layer whose halves are read: the last one that does more than to pass its inputs on."""
        return next(layer for layer in reversed(self.layers) if not layer.passes)

    @cached_property
    def has_noise(self) -> bool:
        """Whether a call with a key has noise."""
        return any(layer.noises for layer in (*self.layers, *self.head))

    @cached_property
    def placed(self) -> tuple[tuple[str, Layer, int], ...]:
        """Every layer, those of the head too, with its place, such as `layers.0`, and the number of its inputs."""
        stacks = (("layers", self.input_features, self.layers), ("head", self.layers[-1].width, self.head))
        return tuple((f"{kind}.{i}", layer, wide) for kind, inputs, layers in stacks
                     for i, (layer, wide) in enumerate(zip(layers, _inputs(inputs, layers), strict=True)))  # fmt: skip

    @property
    def features(self) -> int:
        """The number of features of the outputs."""
        if isinstance(self.output, Tied):
            return self._classes
        return self.output.features if self.output else self.width

    @property
    def width(self) -> int:
        """The number of features that the output layer reads: those of the last layer, or of the end of the head."""
        return (self.head or self.layers)[-1].width

    @property
    def _classes(self) -> int:
        assert isinstance(self.inputs, Embedding)
        return self.inputs.classes

    @cached_property
    def most_values(self) -> int:
        """The most values that the states of a layer, or its outputs, have in one row at one step."""
        return max(max(sum(layer.state_sizes.values()), layer.width) for layer in (*self.layers, *self.head))

    def parameter_shapes(self) -> Tree:
        """The tree of parameter shapes: `layers.0.forward.W.i` and so on, `output.W`, `output.b`; do not modify it."""
        return self._parameter_shapes

    @cached_property
    def _parameter_shapes(self) -> Tree:
        tree: dict[str, Any] = {"layers": _shapes(self.input_features, self.layers)}
        if self.head:
            tree["head"] = _shapes(self.layers[-1].width, self.head)
        if isinstance(self.inputs, Embedding):
            tree["embedding"] = {"E": Shape((self.inputs.classes, self.inputs.features))}
        if isinstance(self.output, Tied):
            tree["output"] = {"b": Shape((self._classes,))}
        if isinstance(self.output, Dense):
            features = self.output.features
            tree["output"] = {"W": Shape((features, self.width)), "b": Shape((features,))}
        return tree

    def state_shapes(self, batch: int) -> Tree:
        """The tree of state shapes: `[0]["forward"]["h"]` is `(batch, width)`, as `Layer.state_shapes` after batch."""
        return self.state_tree(batch, Shape)

    @cached_property
    def learns_states(self) -> bool:
        """Whether a layer learns its initial states."""
        return any(layer.learned_state for layer in self.layers)

    def unset_state(self, batch: int, leaf: Callable[[tuple[int, ...]], Any]) -> Tree:
        """As `state_tree`, but None for each half whose initial states are learned."""
        found = self.state_tree(batch, leaf)
        if not self.learns_states:
            return found
        return [dict.fromkeys(halves) if layer.learned_state else halves
                for layer, halves in zip(self.layers, found, strict=True)]  # fmt: skip

    def state_tree(self, batch: int, leaf: Callable[[tuple[int, ...]], Any]) -> Tree:
        """The tree of the state, where `leaf` makes each leaf from its shape, such as (batch, width)."""
        def of(layer: Layer) -> Tree:
            return {state: leaf((batch, *shape)) for state, shape in layer.state_shapes.items()}

        return [{half: of(layer) for half in layer.halves} for layer in self.layers]

    def init(self, seed: int) -> Tree:
        """The initial parameters: float64 NumPy arrays, the same for every backend.

        Each map is drawn from the seed and its own name, so that the order of maps does not matter. Raises NetworkError
        where `seed` is no whole number of at least 0, or an initialiser gives another shape.
        """
        require("Network.init(seed)", isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0,
                "seed must be a whole number of at least 0", seed, "give one, such as 0")  # fmt: skip
        shapes = self.parameter_shapes()
        found: dict[str, Any] = {"layers": _drawn_stack("layers", self.input_features, self.layers, shapes["layers"],
                                                        seed)}  # fmt: skip
        if self.head:
            found["head"] = _drawn_stack("head", self.layers[-1].width, self.head, shapes["head"], seed)
        for place, part, wide in (("embedding", self.inputs, self.input_features),
                                  ("output", self.output, self.width)):  # fmt: skip
            if place in shapes:
                named = {kind: {kind: shape} for kind, shape in shapes[place].items()}
                drawn = _draw(named, part.initial, wide, seed, place)  # type: ignore[union-attr]  # it has parameters
                found[place] = {kind: maps[kind] for kind, maps in drawn.items()}
        return found


def _listed(call: str, must: str, layers: Any, do: str) -> tuple[Layer | FeedForward | Dropout, ...]:
    require(call, isinstance(layers, Iterable), must, layers, do)
    found = tuple(layers)
    require(call, all(isinstance(layer, Layer | FeedForward | Dropout) for layer in found), must, layers, do)
    return found


def _joined(call: str, inputs: int, layers: Iterable[Layer | FeedForward | Dropout]) -> tuple[Layer, ...]:
    """The layers, where those whose equations use `x` itself know its width, and short names are written out."""
    found = list[Layer]()
    for given in layers:
        wide = found[-1].width if found else inputs
        layer = _written_out(given, wide)
        names = [f"{name}={width}" for name, width in layer.cell.given or ()]
        need = sum(width for _, width in layer.cell.given or ())
        require(call, layer.mapped or wide == need, "the inputs of a layer without maps must be its features "
                f"{' '.join(names)}", wide, f"give it {need} features")  # fmt: skip
        own = replace(layer, inputs=wide) if layer.cell.reads_input and layer.mapped else layer
        require(call, not layer.residual or own.width == wide,
                f"a residual layer of {layer.cell.label} must be as wide as its inputs",
                f"{own.width} for inputs of {wide}", "give them one width")  # fmt: skip
        found.append(own)
    return tuple(found)


def _written_out(given: Layer | FeedForward | Dropout, wide: int) -> Layer:
    """The layer of a short name, whose inputs have so many features."""
    match given:
        case FeedForward():
            return Layer(given.cell, given.width(wide), initial=given.initial)
        case Dropout():
            return Layer(PASSING, wide, inputs=wide, noise=given)
    return given


def _inputs(inputs: int, layers: Sequence[Layer]) -> list[int]:
    """The number of input features of each layer of a stack."""
    return [inputs, *(layer.width for layer in layers)][: len(layers)]


def _shapes(inputs: int, layers: Sequence[Layer]) -> list[Tree]:
    """The parameter shapes of a stack."""
    def half(wide: int, layer: Layer) -> Tree:
        shapes = layer.cell.parameter_shapes(wide if layer.mapped else layer.inputs, layer.widths_given)
        return {**shapes, **({"initial": tree_map(Shape, layer.state_shapes)} if layer.learned_state else {})}

    given = zip(_inputs(inputs, layers), layers, strict=True)
    return [{name: half(wide, layer) for name in layer.halves} for wide, layer in given]


def _drawn_stack(kind: str, inputs: int, layers: Sequence[Layer], shapes: Sequence[Tree], seed: int) -> list[Tree]:
    """The initial parameters of a stack, `layers` or `head`."""
    given = zip(_inputs(inputs, layers), layers, shapes, strict=True)
    return [{half: _draw(named, layer.initial, layer.half_width if layer.cell.states else wide, seed,
                         f"{kind}.{i}.{half}") for half, named in halves.items()}
            for i, (wide, layer, halves) in enumerate(given)]  # fmt: skip


def _draw(shapes: Tree, initial: Mapping[str, Initialiser], hidden: int, seed: int, place: str) -> Tree:
    def one(kind: str, name: str, shape: tuple[int, ...]) -> Any:
        default = Zeros() if kind == "initial" else Uniform()
        initialiser = initial.get(f"{kind}.{name}", initial.get(kind, default))
        source = initialiser.drawn_as(f"{kind}.{name}")
        rng = np.random.default_rng([seed, zlib.crc32(f"{place}.{source}".encode())])
        drawn = _drawn(initialiser, rng, shape, hidden)
        require("Network.init(seed)", drawn.shape == shape,
                f"the initialiser of {place}.{kind}.{name} must give {shape}", drawn.shape,
                "correct its draw")  # fmt: skip
        return drawn

    return {kind: {name: one(kind, name, shape) for name, shape in named.items()} for kind, named in shapes.items()}


def _drawn(initialiser: Initialiser, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Any:
    """The values of one map; those of a map with heads head by head, each for the width of one."""
    if len(shape) < 3:
        return np.asarray(initialiser.draw(rng, shape, hidden), np.float64)
    return np.stack([_drawn(initialiser, rng, shape[1:], hidden // shape[0]) for _ in range(shape[0])])
