"""Modules of torch, called as torch.nn calls its own: `outputs, state = module(inputs, state)`.

Inputs are (time, batch, feature), or batch first where `batch_first` is true; states are (halves, batch, width), a pair
for an LSTM. Rows of different lengths are packed sequences for torch.nn's modules and what derives from them; others
take them where `forward` has a parameter `lengths`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.modules.family import Array, Family, Pull, Ran, Size, States, Tensors
from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import TORCH
from rnnspec.errors import TreeError, UnsupportedError

__all__ = ["TorchModules"]

DTYPES = {"f32": torch.float32, "f64": torch.float64}
SUFFIXES = {"forward": ("", "_l0"), "reverse": ("_reverse", "_l0_reverse")}


class TorchModules(Family):
    """torch.nn.Module."""

    framework = "torch"
    kind = nn.Module
    table = TORCH

    def construct(self, made: Callable[..., Any], size: Size, options: Mapping[str, Any]) -> Any:
        if not _is_own(made):
            return made(size.inputs, size.width)
        projected = {} if isinstance(size.hidden, int) else {"proj_size": size.hidden["h"]}
        if projected and projected["proj_size"] >= size.width:
            raise UnsupportedError(f"{made.__name__}(...)", "a projection must be smaller than what it is of",
                                   f"{projected['proj_size']} of {size.width}", "judge smaller ones")  # fmt: skip
        both = {"bidirectional": True} if size.half == "reverse" else {}
        return made(size.inputs, size.width, **options, **projected, **both)

    def directions(self, made: type[Any]) -> tuple[str, ...]:
        return ("forward", "reverse", "bidirectional") if _is_own(made) else ("forward",)

    def halves(self, thing: Any) -> tuple[str, ...]:
        is_both = any(name.endswith("_reverse") for name, _ in thing.named_parameters())
        return ("forward", "reverse") if is_both else ("forward",)

    def tensors(self, call: str, thing: Any, row: Layout, half: str) -> dict[str, Array]:
        return {name: a.detach().cpu().numpy() for name, a in _places(call, thing, row, half).items()}

    def has_lengths(self, thing: Any) -> bool:
        return isinstance(thing, nn.RNNBase) or "lengths" in inspect.signature(thing.forward).parameters

    def has_empty_rows(self, thing: Any) -> bool:
        return not isinstance(thing, nn.RNNBase)  # pack_padded_sequence refuses them

    def subject(self, call: str, thing: Any, row: Layout, size: Size) -> _Subject:
        module = copy.deepcopy(thing).to(DTYPES[size.precision])
        halves = self.halves(module)
        return _Subject(module, _places(call, module, row, size.half), halves.index(size.half), len(halves))

    def version(self) -> str:
        return f"torch {torch.__version__}"


class _Subject:
    programs = 0

    def __init__(self, module: Any, places: dict[str, Any], index: int, halves: int) -> None:
        self._module, self._places, self._index, self._halves = module, places, index, halves
        self._batch_first = bool(getattr(module, "batch_first", False))

    def run(self, tensors: Tensors, inputs: Array, state: States, lengths: Array | None, pullback: bool) -> Ran:
        with torch.no_grad():
            for name, place in self._places.items():
                place.copy_(torch.from_numpy(tensors[name].copy()))
        with torch.set_grad_enabled(pullback):
            x = torch.tensor(inputs, requires_grad=pullback)
            first = {name: torch.tensor(a, requires_grad=pullback) for name, a in state.items()}
            outputs, final = self._called(x, first, lengths)
        given = [*self._places.values(), x, *first.values()]
        pull = self._pull(given, list(first), outputs, final) if pullback else None
        return Ran(outputs.detach().numpy(), {name: a.detach().numpy() for name, a in final.items()}, pull)

    def _called(self, x: Any, first: dict[str, Any], lengths: Array | None) -> tuple[Any, dict[str, Any]]:
        given = [self._stacked(a) for a in first.values()]
        hx = tuple(given) if len(given) > 1 else given[0]
        x = x.swapaxes(0, 1) if self._batch_first else x
        ends = None if lengths is None else torch.tensor(lengths, dtype=torch.int64)
        if ends is None:
            outputs, final = self._module(x, hx)
        elif isinstance(self._module, nn.RNNBase):
            packed = pack_padded_sequence(x, ends, self._batch_first, enforce_sorted=False)
            outputs, final = self._module(packed, hx)
            steps = x.shape[1 if self._batch_first else 0]
            outputs = pad_packed_sequence(outputs, self._batch_first, total_length=steps)[0]
        else:
            outputs, final = self._module(x, hx, lengths=ends)
        outputs = outputs.swapaxes(0, 1) if self._batch_first else outputs
        width = outputs.shape[-1] // self._halves
        own = outputs[..., self._index * width : (self._index + 1) * width]
        ended = final if isinstance(final, tuple) else (final,)
        return own, {name: a[self._index] for name, a in zip(first, ended, strict=True)}

    def _stacked(self, a: Any) -> Any:
        """A state of this half, zeros for the other."""
        return torch.stack([a if i == self._index else torch.zeros_like(a) for i in range(self._halves)])

    def _pull(self, given: list[Any], names: list[str], outputs: Any, final: dict[str, Any]) -> Pull:
        def pull(output: Array, states: States) -> Any:
            cotangents = [torch.tensor(output), *(torch.tensor(states[name]) for name in final)]
            pairs = [(a, d) for a, d in zip([outputs, *final.values()], cotangents, strict=True) if a.requires_grad]
            found = torch.autograd.grad([a for a, _ in pairs], given, [d for _, d in pairs], retain_graph=True,
                                        allow_unused=True, materialize_grads=True)  # fmt: skip
            arrays = [a.numpy() for a in found]
            count = len(self._places)
            return (dict(zip(self._places, arrays[:count], strict=True)), arrays[count],
                    dict(zip(names, arrays[count + 1 :], strict=True)))  # fmt: skip

        return pull


def _is_own(made: Any) -> bool:
    return isinstance(made, type) and issubclass(made, nn.RNNBase)


def _places(call: str, module: Any, row: Layout, half: str) -> dict[str, Any]:
    """The parameters of one half by the row's names: those of torch.nn, whatever stands before them."""
    given = dict(module.named_parameters())
    found = {tensor: [a for name, a in given.items()
                      if name.rpartition(".")[2] in {f"{tensor}{suffix}" for suffix in SUFFIXES[half]}]
             for tensor in row.tensors}  # fmt: skip
    halves = 2 if any(name.endswith("_reverse") for name in given) else 1
    if any(len(places) != 1 for places in found.values()) or len(given) != halves * len(found):
        names = ", ".join(sorted(row.tensors))
        raise TreeError(call, f"its parameters must be one {names} each, perhaps ending in _l0, and no others",
                        ", ".join(given) or "none", "name them so, or give the class a `layout` such as "
                        '{"weight_ih": "W.i W.f W.g W.o", ...}, which says which maps stand in each')  # fmt: skip
    return {tensor: places[0] for tensor, places in found.items()}
