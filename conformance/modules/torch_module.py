"""The adapter of PyTorch: modules are called as those of torch.nn, `outputs, state = module(inputs, state)`.

Inputs are (time, batch, feature), or batch first where `batch_first` is true; states are (halves, batch, width), a pair
for an LSTM. Modules of torch.nn, and of classes derived from them, get rows of different lengths as packed sequences;
other modules get `lengths` where `forward` has that parameter. A cell of torch.nn is called step by step.
"""

from __future__ import annotations

import copy
import inspect
import io
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.modules.family import Array, Family, Overwritten, Pull, Ran, Size, States, Tensors
from conformance.modules.form import Form
from conformance.modules.naming import placed
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import TORCH
from rnnspec.errors import UnsupportedError

__all__ = ["TorchModules"]

DTYPES = {"f32": torch.float32, "f64": torch.float64}
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
SUFFIXES = {"forward": ("", "_l0"), "reverse": ("_reverse", "_l0_reverse")}


class TorchModules(Family):
    """torch.nn.Module."""

    framework = "torch"
    kind = nn.Module
    table = TORCH
    has_forms = True

    def own_form(self, thing: Any, states: tuple[str, ...]) -> str:
        made = thing if isinstance(thing, type) else type(thing)
        given = ", ".join(states) if len(states) == 1 else f"({', '.join(states)})"
        return f"x_t, {given} -> {given}" if issubclass(made, nn.RNNCellBase) else ""

    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        if made in CELLS:
            return made(size.inputs, size.width, **options)
        if not _is_own(made):
            return made(size.inputs, size.width)
        projected = {} if isinstance(size.hidden, int) else {"proj_size": size.hidden["h"]}
        if projected and projected["proj_size"] >= size.width:
            raise UnsupportedError(f"{made.__name__}(...)", "a projection must be narrower than the cell state",
                                   f"{projected['proj_size']} of {size.width}", "choose a narrower one")  # fmt: skip
        both = {"bidirectional": True} if size.half == "reverse" else {}
        return made(size.inputs, size.width, **options, **projected, **both)

    def directions(self, made: type[Any]) -> tuple[str, ...]:
        return ("forward", "reverse", "bidirectional") if _is_own(made) else ("forward",)

    def halves(self, thing: Any) -> tuple[str, ...]:
        is_both = any(name.endswith("_reverse") for name, _ in thing.named_parameters())
        return ("forward", "reverse") if is_both else ("forward",)

    def names(self, thing: Any) -> list[str]:
        return [name for name, _ in thing.named_parameters()]

    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        return {name: a.detach().cpu().numpy() for name, a in _places(call, thing, row, half).items()}

    def has_lengths(self, thing: Any) -> bool:
        if self.form:
            return self.form.has_lengths
        return isinstance(thing, nn.RNNBase) or "lengths" in _arguments(thing)

    def has_empty_rows(self, thing: Any) -> bool:
        return not isinstance(thing, nn.RNNBase)  # pack_padded_sequence refuses them

    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> _Subject:
        module = thing.to(DTYPES[size.precision])
        halves = self.halves(module)
        return _Subject(self, module, _places(call, module, row, size.half), halves.index(size.half), len(halves))

    def copied(self, thing: Any) -> Any:
        if isinstance(thing, torch.jit.ScriptModule):  # a deep copy has parameters that cannot be frozen
            kept = io.BytesIO()
            torch.jit.save(thing, kept)
            kept.seek(0)
            return torch.jit.load(kept)
        try:
            return copy.deepcopy(thing)
        except Exception:  # attributes may refuse it, such as results of an earlier call
            return thing

    def version(self) -> str:
        return f"torch {torch.__version__}"


class _Subject:
    programs = 0

    def __init__(self, family: TorchModules, module: Any, places: dict[str, Any], index: int, halves: int) -> None:
        self._family = family
        self._module, self._places, self._index, self._halves = module, places, index, halves
        self._batch_first = bool(getattr(module, "batch_first", False))
        _, begun, *_ = [*_arguments(module).values(), _NEEDED, _NEEDED]
        self._begins_itself = begun is None
        items = family.form.given if family.form else ()
        self._kept = {item.kept: getattr(module, item.kept, None) for item in items if item.kept}

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        """Call the module as users do: in `eval` mode without gradients, and without a state that is zeros."""
        with torch.no_grad():
            for name, place in self._places.items():
                place.copy_(torch.from_numpy(tensors[name].copy()).reshape(place.shape))
        self._module.train(pullback)
        if pullback:
            return self._differentiated(inputs, state, lengths)
        made = {(a.shape, a.tobytes()): torch.tensor(a) for a in state.values()}  # equal states are one tensor
        first = {name: made[a.shape, a.tobytes()] for name, a in state.items()}
        with torch.no_grad():
            outputs, final = self._called(torch.tensor(inputs), first, lengths)
        return Ran(outputs.numpy(), {name: a.numpy() for name, a in final.items()}, None)

    def _differentiated(self, inputs: Array, state: States, lengths: Array | None) -> Ran:
        """The run with a pullback.

        A fixed half of the cases is pulled back twice, and run again as a first layer, whose inputs need no gradient,
        with one frozen parameter: the results must not depend on that.
        """
        turn = zlib.crc32(np.ascontiguousarray(inputs).tobytes())
        x = torch.tensor(inputs, requires_grad=True)
        first = {name: torch.tensor(a, requires_grad=True) for name, a in state.items()}
        outputs, final = self._called(x, first, lengths)
        pull = self._pull([*self._places.values(), x, *first.values()], list(first), outputs, final)
        ran = Ran(outputs.detach().numpy(), {name: a.detach().numpy() for name, a in final.items()}, pull)
        if turn % 2 or not self._family.spot_checks:
            return ran
        frozen = list(self._places.values())[turn // 2 % len(self._places)]

        def again(output: Array, states: States) -> Any:
            pull(output, states)
            tensors, found, begun = pull(output, states)
            if len(self._places) == 1:
                return tensors, found, begun
            frozen.requires_grad_(False)
            try:
                alone = self._called(torch.tensor(inputs), {name: a.detach() for name, a in first.items()}, lengths)
                kept = {name: place for name, place in self._places.items() if place.requires_grad}
                own = _gradients(list(kept.values()), alone[0], alone[1], output, states)
            finally:
                frozen.requires_grad_(True)
            return {**tensors, **dict(zip(kept, own, strict=True))}, found, begun

        return Ran(ran.outputs, ran.state, again)

    def _called(self, x: Any, first: dict[str, Any], lengths: Array | None) -> tuple[Any, dict[str, Any]]:
        states = [self._stacked(a) for a in first.values()]
        states = [states[0]] * len(states) if len({id(a) for a in first.values()}) == 1 else states
        if self._family.form:
            return self._formed(self._family.form, x, first, lengths)
        before = [a.detach().clone() for a in (x, *states)]
        outputs, final = self._asked(x.swapaxes(0, 1) if self._batch_first else x, states, lengths)
        if not all(torch.allclose(a, b, 0.0, 0.0, equal_nan=True) for a, b in zip((x, *states), before, strict=True)):
            raise Overwritten("a module's call", "the module must not modify its arguments", "other numbers in them",
                              "write into new memory")  # fmt: skip
        outputs = outputs.swapaxes(0, 1) if self._batch_first else outputs
        width = outputs.shape[-1] // self._halves
        own = outputs[..., self._index * width : (self._index + 1) * width]
        ended = final if isinstance(final, tuple) else (final,)
        return own, {name: a[self._index] for name, a in zip(first, ended, strict=True)}

    def _formed(self, form: Form, x: Any, first: dict[str, Any], lengths: Array | None) -> tuple[Any, dict[str, Any]]:
        """The outputs, or nothing, and the states that a module of a form returns."""
        if form.is_step:
            return self._stepped(form, x, first)
        ends = torch.tensor(np.full(x.shape[1], len(x)) if lengths is None else lengths, dtype=torch.int64)
        parts = self._answered(form, {**first, "x": x.swapaxes(0, 1) if form.is_batch_first else x, "lengths": ends})
        whole = parts["y"].swapaxes(0, 1) if "y" in parts and form.is_batch_first else parts.get("y")
        outputs = parts.get("y[-1]", whole)
        return x[:0].detach() if outputs is None else outputs, {name: parts[name] for name in form.gives}

    def _stepped(self, form: Form, x: Any, first: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The outputs, or nothing, and the final states of a module of one step, called in a loop."""
        states, shown = first, []
        for x_t in x:
            parts = self._answered(form, {**states, "x_t": x_t})
            states = {name: parts[name] for name in form.gives}
            shown += [parts[form.shown]] if form.shown else []
        return torch.stack(shown) if shown else x[:0].detach(), states

    def _answered(self, form: Form, named: dict[str, Any]) -> dict[str, Any]:
        """What one call with these arguments returns, by name."""
        before = {name: a.detach().clone() for name, a in named.items()}
        for item in form.given:
            if item.kept:
                zeros = not any(named[name].requires_grad or bool(named[name].any()) for name in item.names)
                setattr(self._module, item.kept, self._kept[item.kept] if zeros else item.built(named))
        found = self._module(*(item.built(named) for item in form.given if not item.kept))
        if not all(torch.allclose(named[name], a, 0.0, 0.0, equal_nan=True) for name, a in before.items()):
            raise Overwritten("a module's call", "the module must not modify its arguments", "other numbers in them",
                              "write into new memory")  # fmt: skip
        direct = [item for item in form.returned if not item.kept]
        parts = {name: a for item, own in zip(direct, found if len(direct) > 1 else (found,), strict=True)
                 for name, a in item.parts(own).items()}  # fmt: skip
        parts |= {name: a for item in form.returned if item.kept
                  for name, a in item.parts(getattr(self._module, item.kept)).items()}  # fmt: skip
        return parts

    def _asked(self, x: Any, states: list[Any], lengths: Array | None) -> tuple[Any, Any]:
        """The call itself, without a state that is zeros."""
        spelt = any(a.requires_grad or bool(a.any()) for a in states) or not self._begins_itself
        given = ((tuple(states) if len(states) > 1 else states[0]),) if spelt else ()
        if lengths is None:
            return self._module(x, *given)  # type: ignore[no-any-return]
        ends = torch.tensor(lengths, dtype=torch.int64)
        if not isinstance(self._module, nn.RNNBase):
            return self._module(x, *given, lengths=ends)  # type: ignore[no-any-return]
        packed = pack_padded_sequence(x, ends, self._batch_first, enforce_sorted=False)
        outputs, final = self._module(packed, *given)
        steps = x.shape[1 if self._batch_first else 0]
        return pad_packed_sequence(outputs, self._batch_first, total_length=steps)[0], final

    def _stacked(self, a: Any) -> Any:
        """A state of this half, with zeros for the other half."""
        return torch.stack([a if i == self._index else torch.zeros_like(a) for i in range(self._halves)])

    def _pull(self, given: list[Any], names: list[str], outputs: Any, final: dict[str, Any]) -> Pull:
        def pull(output: Array, states: States) -> Any:
            arrays = _gradients(given, outputs, final, output, states)
            count = len(self._places)
            return (dict(zip(self._places, arrays[:count], strict=True)), arrays[count],
                    dict(zip(names, arrays[count + 1 :], strict=True)))  # fmt: skip

        return pull


def _gradients(given: list[Any], outputs: Any, final: dict[str, Any], output: Array, states: States) -> list[Array]:
    shown = torch.tensor(output if outputs.ndim == output.ndim else output[-1])
    cotangents = [shown[: len(outputs)], *(torch.tensor(states[name]) for name in final)]
    pairs = [(a, d) for a, d in zip([outputs, *final.values()], cotangents, strict=True) if a.requires_grad]
    found = torch.autograd.grad([a for a, _ in pairs], given, [d for _, d in pairs], retain_graph=True,
                                allow_unused=True, materialize_grads=True)  # fmt: skip
    return [a.numpy() for a in found]


_NEEDED = object()
"""The default of an argument that has none."""


def _arguments(module: Any) -> dict[str, Any]:
    """The arguments of the forward pass and their defaults, also of a TorchScript module."""
    try:
        given = inspect.signature(module.forward).parameters.values()
        return {one.name: _NEEDED if one.default is one.empty else one.default for one in given}
    except (AttributeError, ValueError):
        schema = getattr(getattr(module, "forward", None), "schema", None)
        own = schema.arguments[1:] if schema else ()
        return {one.name: one.default_value if one.has_default_value() else _NEEDED for one in own}


def _is_own(made: Any) -> bool:
    return isinstance(made, type) and issubclass(made, nn.RNNBase)


def _places(call: str, module: Any, row: Layout, half: str) -> dict[str, Any]:
    """The parameters of one half by the row's names."""
    given = dict(module.named_parameters())
    other = next(suffixes for name, suffixes in SUFFIXES.items() if name != half)
    found = placed(call, list(given), row, SUFFIXES[half], other)
    return {tensor: given[name] for tensor, name in found.items()}
