"""A network: layers of cells, the steps that are read, an output layer and a loss.

>>> from rnnspec import cells
>>> net = Network(inputs=3, layers=[Layer(cells.lstm, hidden=4, direction="bidirectional"), Layer(cells.gru, hidden=2)])
>>> net.layers[1].cell.name, net.layer_inputs(1)
('gru', 8)
>>> net.init(seed=0)["layers"][0]["reverse"]["U"]["f"].shape
(4, 4)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.control.recurrence import HOOKS, Recurrence, trace_hook
from rnnspec.embedding import Embedding
from rnnspec.errors import NetworkError
from rnnspec.feed_forward import FeedForward
from rnnspec.initialisers import Initialiser, Uniform, Zeros
from rnnspec.losses import CTC, Loss
from rnnspec.noise.equations import Masked, check, expected, masked
from rnnspec.noise.kinds import KINDS, Dropout, Noise
from rnnspec.noise.passing import PASSING
from rnnspec.output import Dense, Last, Read, Steps, Tied
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Shape, Tree, tree_map

__all__ = ["DIRECTIONS", "Layer", "Network"]

DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}
"""The halves of a layer by its direction, in the order of their features."""


@dataclass(frozen=True)
class Layer:
    """One layer: a cell, its widths, its direction, its gradient policy and its initial values.

    `hidden` is the width of every state, or `{name: width}` where widths differ. `direction` is "forward", "reverse" or
    "bidirectional". `gradient` is a policy inside the recurrence, or None. `initial` maps a kind of parameter ("W",
    "b", "U", "p") or one map ("b.f") to an initialiser; a map's entry takes precedence, and `Uniform()` is the default.
    With `heads`, the equations hold for each of so many heads of `hidden` units: recurrent maps are (heads, out, in),
    states (batch, heads, width), and outputs stand side by side. What `shared` names, such as "x.k", "R.i" or "p.d", is
    one for all heads; `x` itself is split among them unless it is shared. A `cell` with heads keeps them where `heads`
    is None. `inputs` is the number of input features, which the network gives to a layer whose equations use `x`
    itself. With `mapped=False` the layer has no `W` and no `b`: its inputs are the x.name themselves, side by side in
    the order of the names, and then `x` itself, whose features `inputs` gives where nothing else does. With `residual`
    the layer's inputs are added to its outputs, which must be as wide. For a cell without a state, `hidden` is the
    width of the output, and a policy has nothing to act on. `noise` is one kind of `rnnspec.noise`, or several, which
    act in calls with a key. Raises NetworkError where an argument is not valid.
    """

    cell: Cell
    hidden: int | Mapping[str, int] | tuple[tuple[str, int], ...]
    direction: str = "forward"
    gradient: Recurrence | None = None
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)
    heads: int | None = None
    shared: tuple[str, ...] = ()
    inputs: int | None = field(default=None, repr=False)
    mapped: bool = True
    residual: bool = False
    learned_state: bool = False
    noise: Noise | tuple[Noise, ...] = ()

    def __post_init__(self) -> None:
        call = "Layer(...)"
        _check(call, isinstance(self.cell, Cell), "cell must be a cell", self.cell,
               "decorate a function of equations with @rnnspec.cell")
        self._give_heads(call)
        _check(call, self.direction in tuple(DIRECTIONS), f"direction must be one of {', '.join(DIRECTIONS)}",
               self.direction, "choose one")  # fmt: skip
        _check(call, self.gradient is None or isinstance(self.gradient, Recurrence),
               "gradient must be a policy inside the recurrence, or None", self.gradient,
               "give policies on finished gradients to train_step, in rnnspec.chain")  # fmt: skip
        _check_hashable(call, "gradient", self.gradient)
        if not self.cell.states:
            object.__setattr__(self, "gradient", None)
        _check(call, isinstance(self.residual, bool), "residual must be True or False", self.residual,
               "write residual=True to add the inputs to the outputs")  # fmt: skip
        if self.gradient is not None:
            for hook in HOOKS:
                trace_hook(self.gradient, hook, self.cell.states)
        widths: Any = dict(self.hidden) if isinstance(self.hidden, tuple) and _is_pairs(self.hidden) else self.hidden
        named = isinstance(widths, Mapping) and all(isinstance(name, str) for name in widths)
        _check(call, isinstance(widths, int) or named,
               "hidden must be a whole number, or map names to whole numbers", self.hidden,
               "write hidden=64")  # fmt: skip
        if isinstance(widths, Mapping):
            object.__setattr__(self, "hidden", tuple(sorted(widths.items())))
        self.cell.widths(self.widths_given, self.inputs)
        given = None if self.mapped else self.cell.given_widths(self.widths_given, self.inputs)
        if self.cell.given != given:
            object.__setattr__(self, "cell", replace(self.cell, given=given))
        _check(call, isinstance(self.learned_state, bool) and (bool(self.cell.states) or not self.learned_state),
               "learned_state must be True or False, and the cell must have a state to learn", self.learned_state,
               "leave learned_state out")  # fmt: skip
        learned = {"initial": set(self.cell.states)} if self.learned_state else {}
        _check_initial(call, self.initial, {**self.cell.parameter_names, **learned})
        self._give_noise(call)

    def _give_noise(self, call: str) -> None:
        noise = (self.noise,) if isinstance(self.noise, Noise) else self.noise
        _check(call, isinstance(noise, Iterable) and all(type(one) in KINDS for one in noise),
               "noise must be one kind of rnnspec.noise, or several", self.noise,
               "write noise=Zoneout(0.1)")  # fmt: skip
        noise = tuple(noise)
        _check(call, len({type(one) for one in noise}) == len(noise), "each kind of noise must be given once", noise,
               "leave one out")  # fmt: skip
        check(call, self.cell, noise)
        object.__setattr__(self, "noise", noise)
        _check(call, self.mapped or not masked(self.cell, noise), "a layer without maps must have no noise on states "
               "or gates", noise, "leave it out")  # fmt: skip

    def _give_heads(self, call: str) -> None:
        """Check the heads, and give them to the cell, so that no kernel takes it for the cell without heads."""
        if self.heads is None and self.shared == ():
            object.__setattr__(self, "heads", self.cell.heads)
            object.__setattr__(self, "shared", self.cell.shared)
        _check(call, self.heads is None or _is_size(self.heads), "heads must be a whole number of at least 1, or None",
               self.heads, "leave heads out for one set of equations")  # fmt: skip
        _check(call, isinstance(self.shared, Iterable) and not isinstance(self.shared, str),
               "shared must be a tuple of names", self.shared, "write shared=('x.k',)")  # fmt: skip
        known = self.cell.sharable if self.heads else ()
        for name in self.shared:
            _check(call, name in known, f"shared must name what heads can share: {', '.join(known) or 'nothing'}", name,
                   "give a name of the cell's equations" if self.heads else "give heads too")  # fmt: skip
        shared = tuple(sorted(self.shared))
        object.__setattr__(self, "shared", shared)
        if (self.cell.heads, self.cell.shared) != (self.heads, shared):
            object.__setattr__(self, "cell", replace(self.cell, heads=self.heads, shared=shared))

    @cached_property
    def evaluated(self) -> Cell:
        """The cell of a call without a key: with `Zoneout` the expectation, else the cell itself."""
        return expected(self.cell, self.noises)

    @cached_property
    def masked(self) -> Masked | None:
        """The cell of a call with a key, given all x.name and the masks; None where its equations have no masks."""
        found = masked(self.cell, self.noises)
        if found is None:
            return None
        given = found.cell.given_widths(self.widths_given, self.inputs)
        return replace(found, cell=replace(found.cell, given=given))

    @property
    def noises(self) -> tuple[Noise, ...]:
        """`noise`, as a tuple."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,)

    @cached_property
    def passes(self) -> bool:
        """Whether the equations only pass the inputs on: a `Dropout` among the layers."""
        return self.cell == PASSING

    def __repr__(self) -> str:
        shown_fields = (f for f in fields(self) if f.repr and getattr(self, f.name) != f.default)
        return f"Layer({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown_fields)})"

    @property
    def widths_given(self) -> int | dict[str, int]:
        """`hidden` as given; a mapping is a dict."""
        return self.hidden if isinstance(self.hidden, int) else dict(self.hidden)

    @cached_property
    def halves(self) -> tuple[str, ...]:
        """The halves of this layer, `forward` and `reverse`, in the order of their features."""
        return DIRECTIONS[self.direction]

    @cached_property
    def state_shapes(self) -> dict[str, Shape]:
        """The shape of each state in one row of one half: (width) or (rows, columns), after (heads) with heads."""
        return self.cell.state_shapes(self.widths_given, self.inputs)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The number of entries of each state of one row of one half."""
        return {state: math.prod(shape) for state, shape in self.state_shapes.items()}

    @cached_property
    def half_width(self) -> int:
        """The width of one half's output."""
        return self.cell.output_width(self.widths_given, self.inputs)

    @property
    def width(self) -> int:
        """The width of the output, which concatenates the halves."""
        return self.half_width * len(self.halves)


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
        _check(call, isinstance(self.inputs, Embedding) or _is_size(self.inputs),
               "inputs must be a whole number of at least 1, or an Embedding", self.inputs,
               "give the number of input features")  # fmt: skip
        must, do = "layers must be at least one Layer", "write layers=[Layer(cell, hidden=...)]"
        layers = _listed(call, must, self.layers, do)
        _check(call, bool(layers), must, self.layers, do)
        object.__setattr__(self, "layers", _joined(call, self.input_features, layers))
        _check(call, not all(layer.passes for layer in self.layers), "layers must be more than dropout", self.layers,
               "write layers=[Layer(cell, hidden=...), Dropout(rate)]")  # fmt: skip
        head = _listed(call, "head must be layers", self.head, "write head=[Dense(features, activation)]")
        object.__setattr__(self, "head", _joined(call, self.layers[-1].width, head))
        for layer in self.head:
            _check(call, not layer.cell.states and layer.direction == "forward",
                   "every layer of head must be forward and have a cell without a state", layer,
                   "put recurrent layers into layers")  # fmt: skip
        _check(call, isinstance(self.read, Steps | Last), "read must be Steps() or Last()", self.read,
               "choose one of them")
        _check(call, self.output is None or isinstance(self.output, Dense | Tied),
               "output must be a Dense, a Tied or None", self.output, "write output=Dense(features)")  # fmt: skip
        if isinstance(self.inputs, Embedding):
            _check_initial(call, self.inputs.initial, {"E": {"E"}})
        if isinstance(self.output, Tied):
            self._check_tied(call, self.output)
        if isinstance(self.output, Dense):
            _check(call, self.output.activation is None, "output must be without an activation", self.output,
                   "put it last in head: head=[..., Dense(features, activation)]")  # fmt: skip
            _check(call, _is_size(self.output.features), "features of Dense must be a whole number of at least 1",
                   self.output.features, "give the number of outputs")  # fmt: skip
            _check_initial(call, self.output.initial, {"W": {"W"}, "b": {"b"}})
        _check(call, self.loss is None or isinstance(self.loss, Loss), "loss must be a loss or None", self.loss,
               "choose one of rnnspec.losses")  # fmt: skip
        _check_hashable(call, "loss", self.loss)
        if isinstance(self.loss, CTC):
            _check(call, isinstance(self.read, Steps), "read must be Steps() where the loss is CTC", self.read,
                   "leave read out: Steps() is the default")  # fmt: skip
            blank = self.loss.blank
            _check(call, type(blank) is int and 0 <= blank < self.features,
                   f"blank must be a class number of 0..{self.features - 1}", blank,
                   "choose a class number")  # fmt: skip

    def _check_tied(self, call: str, output: Tied) -> None:
        own, wide = self.inputs, self.width
        _check(call, isinstance(own, Embedding), "inputs must be an Embedding where the output is Tied", own,
               "write inputs=Embedding(classes, features), or output=Dense(features)")  # fmt: skip
        _check(call, wide == self.input_features, "the width that is read must be the features of the embedding, "
               f"{self.input_features}, where the output is Tied", wide, "make them equal")  # fmt: skip
        _check_initial(call, output.initial, {"b": {"b"}})

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
        _check("Network.init(seed)", isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0,
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
    _check(call, isinstance(layers, Iterable), must, layers, do)
    found = tuple(layers)
    _check(call, all(isinstance(layer, Layer | FeedForward | Dropout) for layer in found), must, layers, do)
    return found


def _joined(call: str, inputs: int, layers: Iterable[Layer | FeedForward | Dropout]) -> tuple[Layer, ...]:
    """The layers, where those whose equations use `x` itself know its width, and short names are written out."""
    found = list[Layer]()
    for given in layers:
        wide = found[-1].width if found else inputs
        layer = _written_out(given, wide)
        names = [f"{name}={width}" for name, width in layer.cell.given or ()]
        need = sum(width for _, width in layer.cell.given or ())
        _check(call, layer.mapped or wide == need, "the inputs of a layer without maps must be its features "
               f"{' '.join(names)}", wide, f"give it {need} features")  # fmt: skip
        own = replace(layer, inputs=wide) if layer.cell.reads_input and layer.mapped else layer
        _check(call, not layer.residual or own.width == wide, f"a residual layer of {layer.cell.label} must be as wide "
               "as its inputs", f"{own.width} for inputs of {wide}", "give them one width")  # fmt: skip
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
        _check("Network.init(seed)", drawn.shape == shape,
               f"the initialiser of {place}.{kind}.{name} must give {shape}", drawn.shape,
               "correct its draw")  # fmt: skip
        return drawn

    return {kind: {name: one(kind, name, shape) for name, shape in named.items()} for kind, named in shapes.items()}


def _drawn(initialiser: Initialiser, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Any:
    """The values of one map; those of a map with heads head by head, each for the width of one."""
    if len(shape) < 3:
        return np.asarray(initialiser.draw(rng, shape, hidden), np.float64)
    return np.stack([_drawn(initialiser, rng, shape[1:], hidden // shape[0]) for _ in range(shape[0])])


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_pairs(value: tuple[Any, ...]) -> bool:
    return all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)


def _check(call: str, holds: bool, must: str, got: object, do: str) -> None:
    if not holds:
        raise NetworkError(call, must, shown(got), do)


def _check_hashable(call: str, what: str, value: object) -> None:
    try:
        hash(value)
    except TypeError:
        _check(call, False, f"{what} must be a hashable value", value, "declare its class with @dataclass(frozen=True)")


def _check_initial(call: str, initial: Mapping[str, Initialiser], names: Mapping[str, set[str]]) -> None:
    _check(call, isinstance(initial, Mapping), "initial must map names to initialisers", initial, "write {'b.f': ...}")
    known = set(names) | {f"{kind}.{name}" for kind, named in names.items() for name in named}
    for name, initialiser in initial.items():
        _check(call, name in known and isinstance(initialiser, Initialiser),
               f"initial must map one of {', '.join(sorted(known))} to an initialiser", {name: initialiser},
               "give a kind of parameter or the name of a map")  # fmt: skip
