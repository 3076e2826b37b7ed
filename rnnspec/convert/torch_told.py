"""What a torch module says of itself: its kind, its options and its tensors, however torch has wrapped it.

A module may be scripted, quantised, parametrised (weight norm, spectral norm), compiled or wrapped for several devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from rnnspec.convert.conversion import Note
from rnnspec.errors import UnsupportedError

__all__ = ["Told", "bare", "kind_of", "told"]

WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
"""Modules that compute what the one in this attribute does."""
SCRIPTED = "__torch__.torch.nn.modules."
QUANTISED = ("torch.ao.nn.quantized.dynamic.", "torch.nn.quantized.dynamic.")
NORMS = {WeightNorm: {}, SpectralNorm: {"do_power_iteration": False}}
"""The hooks of torch.nn.utils that compute a weight, and what they are given to do so."""
OPERATORS = {"aten::lstm": "LSTM", "aten::gru": "GRU", "aten::rnn_tanh": "RNN_TANH", "aten::rnn_relu": "RNN_RELU"}


@dataclass(frozen=True)
class Told:
    """A module of torch.nn: its kind, such as `LSTM`, its options, its tensors by name, and what is to be noted."""

    kind: str
    options: Mapping[str, Any]
    tensors: Mapping[str, Any]
    weights: tuple[Any, ...]
    notes: tuple[Note, ...] = ()


def bare(module: Any) -> Any:
    """The module that a wrapper holds, or the module itself."""
    while isinstance(module, nn.Module) and type(module).__name__ in WRAPPERS and _of_torch(type(module)):
        module = getattr(module, WRAPPERS[type(module).__name__])
    return module


def kind_of(module: Any) -> str | None:
    """The name in torch.nn of the class of a module, or None where the class is none of torch.nn."""
    if isinstance(module, torch.jit.ScriptModule):
        name = module._c._type().qualified_name()
        return str(module.original_name) if name.startswith(SCRIPTED) else None
    if not isinstance(module, nn.Module):
        return None
    own: Any = parametrize.type_before_parametrizations(module)
    name = str(own.__name__)
    return name if own.__module__.startswith(QUANTISED) or getattr(nn, name, None) is own else None


def told(call: str, kind: str, module: nn.Module) -> Told:
    """What a module of a kind of torch.nn says; raises UnsupportedError where hooks can change what it computes."""
    weights = tuple(module.parameters())
    if isinstance(module, torch.jit.ScriptModule):
        return Told(kind, _scripted(call, kind, module), module.state_dict(), weights)
    computed = {hook.name: hook.compute_weight(module, **NORMS[type(hook)])
                for hook in module._forward_pre_hooks.values() if type(hook) in NORMS}  # fmt: skip
    if module._forward_hooks or len(module._forward_pre_hooks) > len(computed):
        raise UnsupportedError(call, "a module must have no hooks, which can change what it computes",
                               f"hooks of {module}", "remove the hooks")  # fmt: skip
    options = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    if type(module).__module__.startswith(QUANTISED):
        return Told(kind, options, _dequantised(module), weights, (Note.QUANTISED,))
    if parametrize.is_parametrized(module):
        computed |= {name: _evaluated(module, name) for name in module.parametrizations}
    plain = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    tensors = {name: a for name, a in plain.items() if not _is_source(name, computed)} | computed
    ordered = dict.fromkeys(name for name in module.state_dict() if name in tensors) | tensors
    return Told(kind, options, ordered, weights, (Note.COMPUTED,) if computed else ())


def _of_torch(own: type) -> bool:
    return own.__module__.startswith("torch.")


def _is_source(name: str, computed: Mapping[str, Any]) -> bool:
    """Whether a tensor is one that a weight is computed from, such as `weight_hh_l0_g`."""
    return name not in computed and any(name in (f"{w}_g", f"{w}_v", f"{w}_orig", f"{w}_u") for w in computed)


def _evaluated(module: Any, name: str) -> Any:
    """A parametrised weight as evaluation has it: in training, computing one can change buffers of the module."""
    made = module.parametrizations[name]
    training, _ = made.training, made.eval()
    try:
        with torch.no_grad():
            return made()
    finally:
        made.train(training)


def _dequantised(module: Any) -> dict[str, Any]:
    if hasattr(module, "get_weight"):
        packed = module.get_weight() | module.get_bias()
    else:
        packed = {"weight": module.weight(), "bias": module.bias()}
    return {name: a.dequantize() if a.is_quantized else a for name, a in packed.items() if a is not None}


class _Attributes(Mapping[str, Any]):
    """The attributes of a scripted module as a mapping."""

    def __init__(self, module: Any, more: Mapping[str, Any]) -> None:
        self._module, self._more = module, more

    def __getitem__(self, name: str) -> Any:
        if name in self._more:
            return self._more[name]
        try:
            return getattr(self._module, name)
        except AttributeError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._more)

    def __len__(self) -> int:
        return len(self._more)


def _scripted(call: str, kind: str, module: Any) -> Mapping[str, Any]:
    """The options of a scripted module; a traced one has those that its recurrent operator is given."""
    if kind not in ("RNN", "LSTM", "GRU") or hasattr(module, "batch_first"):
        return _Attributes(module, {})
    nodes = [node for node in module.inlined_graph.nodes() if node.kind() in OPERATORS]
    if len(nodes) != 1:
        raise UnsupportedError(call, f"a traced {kind} must hold one recurrent operator", f"{len(nodes)}",
                               "give the module that was traced, or its state_dict with its cell")  # fmt: skip
    given = [value.toIValue() for value in nodes[0].inputs()]
    return {"batch_first": given[-1], "dropout": 0.0, "nonlinearity": OPERATORS[nodes[0].kind()][4:].lower()}
