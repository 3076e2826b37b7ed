"""Tensors of torch modules and state_dicts, read as NumPy arrays and loaded from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rnnspec.convert.assembly import Assembly, numbers
from rnnspec.errors import TreeError, UnsupportedError
from rnnspec.tree import Tree

__all__ = ["META", "add_output", "arrays", "linear", "load", "refuse_options"]

META = "meta"
"""The device that modules are made on: elsewhere, torch would draw initial weights from the caller's random state."""


def arrays(call: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a state_dict as NumPy arrays; bfloat16 becomes float32, which is exact."""
    def one(name: str, tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor):
            return numbers(call, name, tensor)
        tensor = tensor.detach().cpu()
        return numbers(call, name, (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())

    return {name: one(name, tensor) for name, tensor in state.items()}


def load(module: nn.Module, tensors: Mapping[str, Any]) -> None:
    """Give a module on the meta device its numbers."""
    module.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in tensors.items()}, assign=True)


def linear(width: int, features: int, output: Tree, dtype: Any) -> nn.Linear:
    """The output layer as a Linear."""
    made = nn.Linear(width, features, dtype=dtype, device=META)
    load(made, {"weight": output["W"], "bias": output["b"]})
    return made


def add_output(assembly: Assembly, tensors: dict[str, Any]) -> None:
    """Add the output layer that a state_dict of Linear holds; raises TreeError where it holds something else."""
    if not {"weight"} <= tensors.keys() <= {"weight", "bias"}:
        raise TreeError(assembly.call, "a state_dict of Linear must hold weight and bias",
                        ", ".join(tensors) or "nothing",
                        "give the state_dict of that one module, without a prefix")  # fmt: skip
    assembly.add_output(tensors["weight"], tensors.get("bias"))


def refuse_options(call: str, module: Any) -> None:
    """Raise UnsupportedError where a module has dropout or hooks."""
    if getattr(module, "dropout", 0.0):
        raise UnsupportedError(call, "dropout between layers must be 0", f"dropout={module.dropout}",
                               "set module.dropout = 0.0, which is what evaluation mode computes")  # fmt: skip
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnsupportedError(call, "a module must have no hooks, which can change what it computes",
                               f"hooks of {module}",
                               "remove the hooks; torch.nn.utils removes those that it set")  # fmt: skip
