"""An operator as a backend: the suite makes its arrays, and calls it as its users do."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from conformance.cases import INPUTS, Case, Pull, hidden_for, load_cell
from conformance.modules.padding import check_padding
from conformance.modules.spec import named
from conformance.operators.layout import Misshapen, kind_of
from conformance.operators.operator import Operator, Ran, operator
from rnnspec import Backend, Gradients, LayerResult, Network
from rnnspec.contract.kernel import Call
from rnnspec.contract.resets import Resets
from rnnspec.errors import UnsupportedError
from rnnspec.layer import Layer
from rnnspec.running.padding import mask, selected
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, tree_map

__all__ = ["OperatorBackend", "load"]

Array = Any
LARGEST = 500.0
"""The largest number for an operator without extremes: kernels add up logarithms, and mask by products with 0."""


class OperatorBackend(Backend):
    """An operator in one precision. It sees what stands after a row's end, and its results are not corrected.

    A layer with maps makes the x.name by products in float64, rounded once, and the gradients of its maps likewise. If
    the operator returns no final states, or takes no initial ones, those of the lowered declaration stand in for them.
    """

    def __init__(self, given: Operator, cell_name: str, precision: str = "f32", device: str | None = None) -> None:
        self.operator, self.cell_name = given, cell_name
        self.name, self.version, self.capabilities = given.spec, given.function.version(), given.capabilities
        self._shapes: set[Any] = set()
        super().__init__(device, precision)
        self.programs_compiled = 0
        """Counted for every framework, so that few networks are drawn: a wide matrix state takes the oracle minutes."""

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the report says beside the laws."""
        given = self.operator
        said = [] if given.has_states else ["it takes no initial states: rows begin with zeros"]
        said += [] if self._returns_states else ["it returns no final states: those of the declaration stand in"]
        said += [f"it is called with {name} in multiples of {n}" for name, n in given.layout.multiples.items()]
        return tuple(said)

    def fitted(self, case: Any) -> Any:
        """The case with sizes in the declared multiples, and without the states that it does not take or return."""
        if not isinstance(case, Case):
            return case
        own = self.operator.layout.multiples
        layers = [_fitted(layer, own) for layer in case.net.layers]
        inputs = case.net.inputs if layers[0].mapped else sum(width for _, width in layers[0].cell.given or ())
        net = replace(case.net, inputs=inputs, layers=layers)
        steps = _up(case.steps, own.get("time", 1))
        lengths = None if case.lengths is None else tuple(steps if n == case.steps else n for n in case.lengths)
        pull = case.pull if self._returns_states else Pull.OUTPUTS
        return replace(case, net=net, steps=steps, lengths=lengths, pull=pull, fresh=not self.operator.has_states)

    def shown(self, inputs: Array, lengths: Array | None) -> Array:
        check_padding(self.operator.call, self.capabilities, inputs, lengths)
        return inputs

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        given, real = self.operator, mask(self.arrays, len(inputs), lengths)
        self._check_sizes(inputs, state)
        arrays = {**_inputs(cell, params, inputs), **_learned(cell, params), **_apart(cell, state)}
        begun = None if resets is None else np.array(resets.here[..., 0])
        self._check_numbers(arrays, real)
        ran = given.run(arrays, lengths, begun, len(inputs), call.pullback)
        self._count(arrays, lengths)
        final = {name: a.reshape(state[name].shape) for name, a in ran.state.items() if a.size == state[name].size}
        outputs = self._beside(ran, inputs, state, final)
        stand_in = None
        if not given.has_states or not ran.state:
            stand_in = super().layer(cell, params, selected(self.arrays, real, inputs), state, lengths, call, resets)
            final = final or dict(stand_in.state)
        return LayerResult(outputs, final, self.version, (ran, inputs, real, stand_in))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        ran, inputs, real, stand_in = result.saved
        parts = (*output_cotangent.shape[:2], cell.heads or 1, -1)
        found = ran.pull(output_cotangent.reshape(parts), _apart(cell, state_cotangent))
        own, into = _gathered(cell, params, inputs, real, found)
        state = {name: found[name].reshape(a.shape) if name in found else None for name, a in state_cotangent.items()}
        if stand_in is None:
            return Gradients(own, into, state)
        if not ran.state:
            nothing = np.zeros_like(output_cotangent)
            rest = super().layer_pullback(cell, params, stand_in, nothing, state_cotangent, call)
            own, into = tree_map(np.add, own, rest.params), into + rest.inputs
            state = {name: None if a is None else a + rest.state[name] for name, a in state.items()}
        if not self.operator.has_states:
            state = super().layer_pullback(cell, params, stand_in, output_cotangent, state_cotangent, call).state
        return Gradients(own, into, state)

    @cached_property
    def _returns_states(self) -> bool:
        """Whether the last call returned final states; seen in a call of few steps."""
        cell = self.operator.cell
        own = self.operator.layout.multiples
        inputs = INPUTS * cell.beside("x") if cell.reads_input else None
        layer = _fitted(Layer(cell, hidden_for(cell), inputs=inputs, mapped=False), own)
        net = Network(sum(width for _, width in layer.cell.given or ()), [layer])
        case = Case(net, _up(3, own.get("time", 1)), 2, fresh=not self.operator.has_states)
        given = case.arrays(self.precision)
        half = given.params["layers"][0]["forward"]
        arrays = {**_inputs(layer.cell, half, given.inputs), **_learned(layer.cell, half),
                  **_apart(layer.cell, given.state[0]["forward"])}  # fmt: skip
        return bool(self.operator.run(arrays, None, None, case.steps, False).state)

    def _count(self, arrays: Tree, lengths: Array | None) -> None:
        """Count a program for each new shape."""
        self._shapes.add((tuple(a.shape for a in arrays.values()), None if lengths is None else len(lengths)))
        self.programs_compiled = len(self._shapes)

    def _check_sizes(self, inputs: Array, state: Tree) -> None:
        """Raise UnsupportedError for sizes, or states, that the operator declares that it does not take."""
        own, call = self.operator.layout.multiples, self.operator.call
        if len(inputs) % own.get("time", 1):
            raise UnsupportedError(call, f"the number of steps must be a multiple of {own['time']}, as declared",
                                   str(len(inputs)), "leave `multiples` out of the layout")  # fmt: skip
        if not self.operator.has_states and any(np.any(a) for a in state.values()):
            raise UnsupportedError(call, "initial states must be zeros, as declared", "other numbers",
                                   "give it a parameter for them")  # fmt: skip

    def _check_numbers(self, arrays: Tree, real: Array | None) -> None:
        """Raise UnsupportedError for numbers that the operator declares that it does not take."""
        if "extremes" not in self.operator.lacks:
            return
        marks = None if real is None else real[..., None]
        for quantity, a in arrays.items():
            seen = a if marks is None or kind_of(quantity) != "x" else np.where(marks, a, 0)
            if not (np.abs(seen) <= LARGEST).all():
                raise UnsupportedError(self.operator.call, f"numbers must be finite and at most {LARGEST:g}, as said",
                                       "others", "leave out `--without extremes`")  # fmt: skip

    def _beside(self, ran: Ran, inputs: Array, state: Tree, final: Tree) -> Array:
        """The outputs with heads side by side; raises an error where the operator returned other shapes or dtypes."""
        kinds = {str(a.dtype) for a in (ran.outputs, *ran.state.values())}
        shapes = {name: a.shape for name, a in ran.state.items() if name not in final}
        if ran.outputs.shape[:2] != inputs.shape[:2] or shapes or kinds != {str(inputs.dtype)}:
            got = f"{ran.outputs.shape[:2]} steps and rows, states {shapes} of {', '.join(sorted(kinds))}"
            raise Misshapen(self.operator.call, f"it must return {inputs.shape[:2]} steps and rows of {inputs.dtype}, "
                            f"and states of {({name: a.shape for name, a in state.items()})}", got,
                            "see how operators are called in docs/operators.md")  # fmt: skip
        return ran.outputs.reshape(*inputs.shape[:2], -1)


def load(spec: str, cell_name: str, precision: str, lacks: tuple[str, ...] = (), device: str | None = None) -> Backend:
    """The backend of the operator that a spec names, which must compute a cell.

    Raises an RnnSpecError, which is an UnsupportedError where the operator lacks the precision.
    """
    given = operator(spec, named(spec, "--op"), load_cell(cell_name), lacks)
    return OperatorBackend(given, cell_name, precision, device)


def _inputs(cell: Cell, params: Tree, inputs: Array) -> dict[str, Array]:
    """Every x.name, and `x` itself, as (time, batch, heads, width)."""
    if cell.given is None:
        with np.errstate(all="ignore"):
            found = {f"x.{name}": (inputs.astype(np.float64) @ w.T.astype(np.float64) + params["b"][name])
                     for name, w in params["W"].items()}  # fmt: skip
        found |= {"x": inputs} if cell.reads_input else {}
    else:
        ends = np.cumsum([width for _, width in cell.given])
        parts = np.split(inputs, ends[:-1], -1)
        found = {_label(cell, name): part for (name, _), part in zip(cell.given, parts, strict=True)}
    return {label: a.astype(inputs.dtype).reshape(*a.shape[:2], cell.beside(label), -1) for label, a in found.items()}


def _label(cell: Cell, name: str) -> str:
    return name if name == "x" and cell.reads_input else f"x.{name}"


def _learned(cell: Cell, params: Tree) -> dict[str, Array]:
    """Every `R.name` and `p.name`, with an axis for heads."""
    maps = {f"R.{name}": w if w.ndim == 3 else w[None] for name, w in params["U"].items()}
    for name, a in params["p"].items():
        label = f"p.{name}"
        is_vector = cell.ranks[label] == 1
        maps[label] = a.reshape(cell.beside(label), -1) if is_vector else a if a.ndim == 3 else a[None]
    return maps


def _apart(cell: Cell, state: Tree) -> dict[str, Array]:
    """States with an axis for heads."""
    return {name: a if cell.heads is not None else a[:, None] for name, a in state.items()}


def _gathered(cell: Cell, params: Tree, inputs: Array, real: Array | None, found: Tree) -> tuple[Tree, Array]:
    """The gradients of the parameters and of the inputs, from those of the operator's arrays."""
    own = {kind: {name: found[f"{letter}.{name}"].reshape(a.shape) for name, a in params[kind].items()}
           for kind, letter in (("U", "R"), ("p", "p"))}  # fmt: skip
    flat = {label: a.reshape(*a.shape[:2], -1) for label, a in found.items() if kind_of(label) == "x"}
    if cell.given is not None:
        into = np.concatenate([flat[_label(cell, name)] for name, _ in cell.given], -1)
        return {"W": {}, "b": {}, **own}, into
    x, kind = np.where(True if real is None else real, inputs, 0).astype(np.float64), inputs.dtype
    W, b, into = dict[str, Array](), dict[str, Array](), np.zeros(inputs.shape, np.float64)
    with np.errstate(all="ignore"):
        for name, w in params["W"].items():
            d = flat[f"x.{name}"].astype(np.float64)
            W[name], b[name] = np.einsum("tbi,tbj->ij", d, x).astype(kind), d.sum((0, 1)).astype(kind)
            into += d @ w.astype(np.float64)
    into += flat.get("x", 0.0)
    return {"W": W, "b": b, **own}, into.astype(kind)


def _fitted(layer: Layer, multiples: dict[str, int]) -> Layer:
    """The layer with widths in the multiples of its axes."""
    if not set(multiples) - {"time"}:
        return layer
    given = layer.widths_given
    named = {layer.cell.states[0]: given} if isinstance(given, int) else dict(given)
    hidden = {name: _up(width, multiples.get(name.rpartition(".")[2], multiples.get("width", 1)))
              for name, width in named.items()}  # fmt: skip
    inputs, parts = layer.inputs, layer.cell.beside("x")
    if inputs is not None and not layer.mapped:
        inputs = parts * _up(inputs // parts, multiples.get("width", 1))
    return replace(layer, hidden=next(iter(hidden.values())) if isinstance(given, int) else hidden, inputs=inputs)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
