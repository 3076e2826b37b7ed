"""Detects tracers, transforms of `torch.func` and forward mode, which need calls that are made of PyTorch's own.

They see calls of PyTorch only, and so cannot follow a program of rnnspec or its derived adjoint. They can follow the
plain lowering, `Path.FRAMEWORK`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad

from rnnspec.errors import UnsupportedError
from rnnspec.tree import Tree, flat

__all__ = ["check_closed", "is_traced", "is_transformed", "is_watched", "refuse_dynamic", "refuse_script",
           "refuse_strict", "refuse_whole"]  # fmt: skip

INSTEAD = "use backend.through(rnnspec.Path.FRAMEWORK).as_layer(net)"


def is_watched() -> bool:
    """Whether anybody may look into a call: the one question that every call asks, where nearly all need no other."""
    return bool(
        forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active() or torch._C._is_tracing()
        or torch.compiler.is_exporting()
    )  # fmt: skip


def is_traced() -> bool:
    """Whether `torch.export`, `torch.jit.trace` or the exporter of ONNX records the calls."""
    return bool(torch.compiler.is_exporting() or torch._C._is_tracing())


def refuse_strict() -> None:
    """Raise UnsupportedError where Dynamo reads the code of a call that is exported."""
    raise UnsupportedError("as_layer(net)", "torch.export must trace calls, not read code", "strict=True",
                           "export it with strict=False")  # fmt: skip


def refuse_whole() -> None:
    """Raise UnsupportedError where Dynamo must compile a model as one graph; `torch.compile` calls no other program."""
    from torch._dynamo.symbolic_convert import InstructionTranslator  # noqa: PLC0415  # in Dynamo only, which is loaded

    if getattr(InstructionTranslator.current_tx(), "one_graph", False):
        raise UnsupportedError("as_layer(net)", "a compiled model must be allowed to call the module as it is",
                               "fullgraph=True", "compile it without fullgraph")  # fmt: skip


# Dynamo calls the functions as they are, so that they raise: the effect of `torch.compiler.assume_constant_result`,
# without the import of Dynamo, which takes seconds and changes the user's warnings and loggers.
for _function in (refuse_strict, refuse_whole):
    _function._dynamo_marked_constant = True  # type: ignore[attr-defined]


def refuse_dynamic(inputs: Any) -> None:
    """Raise UnsupportedError where a trace, which holds each step by itself, is not told the number of steps."""
    if isinstance(inputs.shape[0], torch.SymInt):
        raise UnsupportedError("as_layer(net)", "a trace must know the number of steps", "a time that is dynamic",
                               "leave the time out of dynamic_shapes, and export once for each number of steps",
                               )  # fmt: skip


def refuse_script() -> None:
    """Raise UnsupportedError where TorchScript would compile code."""
    raise UnsupportedError("as_layer(net)", "TorchScript must trace calls, not read code", "torch.jit.script",
                           "trace it with torch.jit.trace, on rnnspec.Path.FRAMEWORK")  # fmt: skip


def is_transformed() -> bool:
    """Whether a transform of `torch.func` is active, which hides the numbers of tensors."""
    return bool(torch._C._are_functorch_transforms_active())


def check_closed(given: Tree) -> None:
    """Raise UnsupportedError where a tracer, a transform or forward mode must follow a call with these tensors."""
    if is_traced():
        raise UnsupportedError("as_layer(net)", "a tracer must see calls of PyTorch and nothing else",
                               "a program of rnnspec", INSTEAD)  # fmt: skip
    if is_transformed():  # for any tensors: a transform forbids a program to write into its own
        raise UnsupportedError("as_layer(net)", "torch.func must be able to follow the calls that it transforms",
                               "the derived adjoint, which it cannot follow", INSTEAD)  # fmt: skip
    if forward_ad._current_level >= 0:
        tensors = [a for a in flat(given) if isinstance(a, torch.Tensor)]
        if any(forward_ad.unpack_dual(a).tangent is not None for a in tensors):
            raise UnsupportedError("as_layer(net)", "forward mode must be able to differentiate all calls",
                                   "the derived adjoint, which has reverse mode only", INSTEAD)  # fmt: skip
