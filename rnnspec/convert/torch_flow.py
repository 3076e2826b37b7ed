"""A whole model of torch as a chain: torch.fx traces its `forward`, and each operation on the steps is read or refused.

What is read: the modules that `from_torch` reads, activations, the parts of what a recurrent module returns, axes that
change places, the last step, and the sum of a part's inputs and outputs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, NoReturn

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils import rnn

from rnnspec.convert.activations import ACTIVATIONS, elu, leaky_relu
from rnnspec.convert.assembly import Assembly
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.convert.torch_activations import FUNCTIONS, METHODS
from rnnspec.convert.torch_reading import PARTS, RECURRENT, add_part, advice, refuse
from rnnspec.convert.torch_told import bare, kind_of
from rnnspec.errors import UnsupportedError
from rnnspec.output import Last, Steps

__all__ = ["Flow", "model_of", "read_model"]

SAME = ("contiguous", "float", "double", "to", "cpu", "cuda", "detach", "clone")
"""The methods that change no number and no axis."""


@dataclass(frozen=True)
class Flow:
    """The outputs of the part before `index`: the names of their axes, and whether only the last step is left.

    `packed` is the name of the axis of time where the steps are packed, else empty.
    """

    axes: tuple[str, ...]
    index: int
    last: bool = False
    packed: str = ""


@dataclass(frozen=True)
class Returned:
    """What a recurrent module returns: its steps, and its final states."""

    steps: Flow
    states: int
    layers: int
    halves: int


@dataclass(frozen=True)
class Final:
    """The final states of a recurrent module: of one kind, or of both where `whole`."""

    of: Returned
    whole: bool
    hidden: bool = True
    at: int | None = None


@dataclass(frozen=True)
class Zeros:
    """An initial state of zeros."""


@dataclass(frozen=True)
class Unread:
    """A value that nothing on the steps may depend on, such as a size."""

    name: str
    given: bool = False


def model_of(parts: tuple[Any, ...]) -> nn.Module | None:
    """The model that a part is, or that the parts make one after the other; None where each part is read by itself."""
    modules = [bare(part) for part in parts]
    if not modules or not all(isinstance(module, nn.Module) for module in modules):
        return None
    inner = [bare(own) for module in modules for own in module.modules()]
    named = all(kind_of(module) for module in _leaves(modules))
    scripted = any(isinstance(module, torch.jit.ScriptModule) for module in modules)
    if named or scripted or not any(kind_of(module) in RECURRENT for module in inner):
        return None
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _leaves(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """The modules, and those in a Sequential in its place."""
    for module in modules:
        yield from _leaves(map(bare, module)) if kind_of(module) == "Sequential" else (module,)


def read_model(call: str, model: nn.Module) -> Imported:
    """The network of a model; raises UnsupportedError where an operation on the steps cannot be read."""
    usual = {name: own.default for name, own in signature(model.forward).parameters.items()
             if own.default is not own.empty}  # fmt: skip
    try:
        graph = fx.Tracer(autowrap_modules=(math, rnn)).trace(model, concrete_args=usual)
    except Exception as error:  # the tracer runs code of the model, which may raise anything
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        refuse(call, model, f", and which torch.fx cannot trace ({reason})")
    hooked = [own for own in model.modules() if own._forward_hooks and kind_of(own) in (None, "Sequential")]
    if hooked:
        raise UnsupportedError(call, "a module must have no hooks, which can change what it computes",
                               f"hooks of {type(hooked[0]).__name__}", "remove the hooks")  # fmt: skip
    return _Reading(call, model, graph).network()


class _Reading:
    def __init__(self, call: str, model: nn.Module, graph: fx.Graph) -> None:
        self.call, self.model, self.graph, self.assembly = call, model, graph, Assembly(call)
        self.values: dict[fx.Node, Any] = {}
        self.time: str | None = None
        self.halves = 1

    def network(self) -> Imported:
        [end] = (node for node in self.graph.nodes if node.op == "output")
        needed = {end}
        for node in reversed(self.graph.nodes):
            needed |= set(node.all_input_nodes) if node in needed else set()
        for node in self.graph.nodes:
            if node.op == "placeholder" or (node in needed and node is not end):
                self.values[node] = self._read(node)
        return self._finish(end, self._value(end.args[0]))

    def _value(self, argument: Any) -> Any:
        """An argument, with what is known of the nodes in it."""
        return fx.node.map_arg(argument, lambda node: self.values[node])

    def _read(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            first = not any(isinstance(value, Flow) for value in self.values.values())
            return Flow(("0", "1", "feature"), 0) if first else Unread(node.name, given=True)
        if node.op == "get_attr":
            return Unread(f"the tensor {node.target}")
        given, options = [self._value(own) for own in node.args], self._value(node.kwargs)
        on_steps = [own for own in _flat([*given, *options.values()]) if isinstance(own, Flow | Returned | Final)]
        if node.op == "call_module":
            return self._module(node, given, options)
        if node.target in ZEROS:
            return Zeros()
        if not on_steps:
            return given[0] if given and isinstance(given[0], Zeros) else Unread(node.name)
        reader = READERS.get(node.target)
        found = reader(self, given, options) if reader else None
        if found is None:
            self._refuse(node)
        return found

    def _refuse(self, node: fx.Node) -> NoReturn:
        what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        arguments = ", ".join(map(str, node.args))
        raise UnsupportedError(self.call, "an operation on the steps must be a module of torch.nn that is read, an "
                               "activation, the last step, axes that change places, or the sum of a part's inputs and "
                               "outputs", f"{node.name} = {what}({arguments}) in {type(self.model).__name__}",
                               advice(self.model))  # fmt: skip

    def _current(self, value: Any) -> Flow | None:
        """The steps, if they are the outputs of the last part."""
        value = value.steps if isinstance(value, Returned) else value
        return value if isinstance(value, Flow) and value.index == self.assembly.index else None

    def _module(self, node: fx.Node, given: list[Any], options: dict[str, Any]) -> Any:
        module = bare(self.model.get_submodule(str(node.target)))
        flow, kind = self._current(given[0]) if given else None, kind_of(module)
        if flow is None or flow.axes[-1] != "feature" or kind not in PARTS:
            self._refuse(node)
        if kind not in RECURRENT:
            if kind in ("Softmax", "LogSoftmax") and module.dim not in (-1, len(flow.axes) - 1):
                self._refuse(node)
            add_part(self.assembly, module)
            return replace(flow, index=self.assembly.index)
        if len(flow.axes) != 3 or kind.endswith("Cell") or options:
            self._refuse(node)
        for state in _flat(given[1:]):
            if isinstance(state, Unread) and state.given:
                self.assembly.note(Note.INITIAL_STATE, state.name)
            elif not isinstance(state, Zeros) and state is not None:
                self._refuse(node)
        time = flow.packed or flow.axes[1 if module.batch_first else 0]
        if self.time not in (None, time):
            self._refuse(node)
        self.time, self.halves = time, 1 + module.bidirectional
        add_part(self.assembly, module)
        steps = replace(flow, index=self.assembly.index)
        return Returned(steps, 2 if kind == "LSTM" else 1, module.num_layers, self.halves)

    def _finish(self, node: fx.Node, value: Any) -> Imported:
        first, *others = value if isinstance(value, tuple | list) else (value,)
        flow = self._current(first)
        if flow is None or not all(isinstance(own, Final | Unread | Zeros) for own in _flat(others)):
            self._refuse(node)
        self.assembly.notes = [note for note in self.assembly.notes if note.what is not Note.BATCH_FIRST]
        if len(flow.axes) == 2 and not flow.last:
            self.assembly.notes.append(PlacedNote("", Note.FLAT))
        if self.time == "1":
            self.assembly.notes.append(PlacedNote("", Note.BATCH_FIRST))
        return self.assembly.finish(Last() if flow.last else Steps())

    def item(self, given: list[Any], options: dict[str, Any]) -> Any:
        """A part of what a recurrent module returns, or the last step."""
        value, at = given
        if isinstance(value, tuple):
            return value[at]
        if isinstance(value, Returned) and at in (0, 1):
            return value.steps if at == 0 else Final(value, whole=value.states > 1)
        if isinstance(value, Final) and value.whole and at in (0, 1):
            return replace(value, whole=False, hidden=at == 0)
        if isinstance(value, Final) and value.at is None:
            first, *rest = at if isinstance(at, tuple) else (at,)
            return self._state(value, first) if all(own in (slice(None), ...) for own in rest) else None
        flow = self._current(value)
        return flow and self._last_step(flow, at if isinstance(at, tuple) else (at,))

    def _last_step(self, flow: Flow, at: tuple[Any, ...]) -> Flow | None:
        """The step -1, where every direction has it last."""
        if len(flow.axes) != 3 or self.time not in flow.axes or self.halves > 1 or len(at) > 3:
            return None
        place = flow.axes.index(self.time)
        full = [*at, *[slice(None)] * (3 - len(at))]
        others = [own for i, own in enumerate(full) if i != place]
        if full[place] != -1 or others != [slice(None)] * 2:
            return None
        return Flow(tuple(axis for axis in flow.axes if axis != self.time), flow.index, last=True)

    def _state(self, value: Final, at: Any) -> Any:
        """The final hidden state of the last layer, or of one direction of it."""
        places = value.of.layers * value.of.halves
        if not isinstance(at, int) or value.whole or not value.hidden or not -places <= at < places:
            return None
        at = at if at < 0 else at - places
        if value.of.halves == 2:
            return replace(value, at=at) if at in (-1, -2) else None
        return self._end(value) if at == -1 else None

    def _end(self, value: Final) -> Flow | None:
        flow = self._current(value.of.steps)
        return flow and Flow(tuple(axis for axis in flow.axes if axis != self.time), flow.index, last=True)

    def squeezed(self, given: list[Any], options: dict[str, Any]) -> Any:
        """The one final state of a layer, without its axis."""
        value, at = given[0], (given[1:] or list(options.values()) or [None])[0]
        one = isinstance(value, Final) and value.of.layers * value.of.halves == 1
        return self._state(value, 0) if one and at in (0, None) else None

    def joined(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Both directions' final states, side by side."""
        parts, dim = given[0], (given[1:] or list(options.values()) or [0])[0]
        ends = [own.at for own in parts if isinstance(own, Final)]
        if len(ends) < len(parts) or ends != [-2, -1] or dim not in (1, -1):
            return None
        return self._end(parts[0]) if parts[0].of is parts[1].of else None

    def moved(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Axes in another order."""
        flow, order = self._current(given[0]), _flat([*given[1:], *options.values()])
        if flow is None or sorted(own % len(flow.axes) for own in order) != list(range(len(flow.axes))):
            return None
        return replace(flow, axes=tuple(flow.axes[own] for own in order))

    def swapped(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Two axes in each other's place."""
        flow, both = self._current(given[0]), [*given[1:], *options.values()]
        if flow is None or len(both) != 2:
            return None
        axes = list(flow.axes)
        axes[both[0]], axes[both[1]] = axes[both[1]], axes[both[0]]
        return replace(flow, axes=tuple(axes))

    def added(self, given: list[Any], options: dict[str, Any]) -> Any:
        """The sum of the inputs and the outputs of the last part."""
        steps = [own.steps if isinstance(own, Returned) else own for own in given]
        if len(steps) != 2 or not all(isinstance(own, Flow) for own in steps) or options:
            return None
        before, after = sorted(steps, key=lambda own: own.index)
        if before.index != after.index - 1 or before.axes != after.axes or self._current(after) is None:
            return None
        self.assembly.add_residual()
        return after

    def packed(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Steps that know the lengths of their rows."""
        flow, first = self._current(given[0]), options.get("batch_first", given[2] if len(given) > 2 else False)
        return flow and replace(flow, packed=flow.axes[1 if first else 0])

    def padded(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Packed steps as an array again, and the lengths."""
        flow, first = self._current(given[0]), options.get("batch_first", given[1] if len(given) > 1 else False)
        if flow is None or not flow.packed:
            return None
        batch = next(axis for axis in flow.axes if axis not in (flow.packed, "feature"))
        axes = (batch, flow.packed) if first else (flow.packed, batch)
        return replace(flow, axes=(*axes, "feature"), packed=""), Unread("lengths")

    def reshaped(self, given: list[Any], options: dict[str, Any]) -> Any:
        """The steps of all rows in one axis, or in two again."""
        flow, sizes = self._current(given[0]), _flat(given[1:])
        if flow is None or flow.last or flow.packed or flow.axes[-1] != "feature":
            return None
        if len(flow.axes) == 3 and len(sizes) == 2 and sizes[0] == -1:
            return replace(flow, axes=("*".join(flow.axes[:2]), "feature"))
        if len(flow.axes) == 2 and len(sizes) == 3:
            return replace(flow, axes=(*flow.axes[0].split("*"), "feature"))
        return None

    def same(self, given: list[Any], options: dict[str, Any]) -> Any:
        """What a method gives that changes nothing."""
        return given[0]

    def measured(self, given: list[Any], options: dict[str, Any]) -> Any:
        """A size, or another attribute of a tensor."""
        return Unread("a size")

    def silent(self, given: list[Any], options: dict[str, Any]) -> Any:
        """Dropout as a function."""
        rate = options.get("p", given[1] if len(given) > 1 else 0.5)
        self.assembly.note(Note.DROPOUT, f"dropout({rate:g}) in training")
        return self._current(given[0])


def _flat(values: Any) -> list[Any]:
    """The values in nested tuples and lists."""
    return [own for value in values for own in (_flat(value) if isinstance(value, tuple | list) else [value])]


def _activation(name: str, make: Callable[[list[Any], dict[str, Any]], Any]) -> Callable[..., Any]:
    """What reads a function that is an activation of the steps."""

    def read(reading: _Reading, given: list[Any], options: dict[str, Any]) -> Any:
        flow = reading._current(given[0])
        dim = options.get("dim", given[1] if len(given) > 1 else -1)
        if flow is None or flow.axes[-1] != "feature":
            return None
        if name.endswith("softmax") and dim not in (-1, len(flow.axes) - 1):
            return None
        reading.assembly.add_activation(name, make(given, options))
        return replace(flow, index=reading.assembly.index)

    return read


def _second(name: str, usual: float) -> Callable[[list[Any], dict[str, Any]], float]:
    return lambda given, options: float(options.get(name, given[1] if len(given) > 1 else usual))


SLOPE, ALPHA = _second("negative_slope", 0.01), _second("alpha", 1.0)
ZEROS = (torch.zeros, torch.zeros_like, "new_zeros")
READERS: dict[Any, Callable[..., Any]] = {
    operator.getitem: _Reading.item, torch.cat: _Reading.joined, torch.squeeze: _Reading.squeezed,
    "squeeze": _Reading.squeezed, "permute": _Reading.moved, torch.permute: _Reading.moved,
    "transpose": _Reading.swapped, torch.transpose: _Reading.swapped, "swapaxes": _Reading.swapped,
    operator.add: _Reading.added, torch.add: _Reading.added, functional.dropout: _Reading.silent,
    torch.dropout: _Reading.silent, **dict.fromkeys(SAME, _Reading.same),
    **dict.fromkeys(("size", "dim", getattr), _Reading.measured), rnn.pack_padded_sequence: _Reading.packed,
    rnn.pad_packed_sequence: _Reading.padded, "view": _Reading.reshaped, "reshape": _Reading.reshaped,
    functional.leaky_relu: _activation("leaky_relu", lambda given, options: leaky_relu(SLOPE(given, options))),
    functional.elu: _activation("elu", lambda given, options: elu(ALPHA(given, options))),
    functional.gelu: _activation("gelu", lambda _, options: ACTIVATIONS[
        "gelu" if options.get("approximate", "none") == "none" else "gelu_tanh"]),
    **{target: _activation(name, lambda *_, own=own: own) for target, (name, own) in (FUNCTIONS | METHODS).items()},
}  # fmt: skip
"""What reads each function and method of the steps; None says that it cannot."""
