"""The primitives, and the calls of `fusion`, as functions of PyTorch that write into `out`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from rnnspec.contract.arrays import Array

__all__ = ["ELEMENTWISE", "FUNCTIONS"]

HALF = 2
"""The bytes of a number of 16 bits."""


def _softplus(a: Array, out: Array) -> None:
    torch.logaddexp(a, a.new_zeros(()), out=out)


def _erf(a: Array, out: Array | None = None) -> Array:
    """The error function; in 16 bits by way of float32, since PyTorch's own is off by 1e-7 there, also beside 0."""
    if a.dtype.itemsize > HALF:
        return torch.erf(a, out=out)
    found = torch.erf(a.float()).to(a.dtype)
    return found if out is None else out.copy_(found)


def _spread(a: Array, like: Array, out: Array) -> None:
    out.copy_(a.expand_as(out))


def _copy(a: Array, out: Array) -> None:
    out.copy_(a)


def _zero(out: Array) -> None:
    out.zero_()


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "negate": torch.neg,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "cos": torch.cos,
    "sin": torch.sin,
    "erf": _erf,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "remainder": torch.remainder,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "where": torch.where,
}
"""The primitives that PyTorch has as functions."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **ELEMENTWISE,
    "relu": partial(torch.clamp_min, min=0),
    "softplus": _softplus,
    "total": partial(torch.sum, dim=-1, keepdim=True),
    "logsumexp": partial(torch.logsumexp, dim=-1, keepdim=True),
    "spread": _spread,
    "lerp": torch.lerp,
    "addcmul": torch.addcmul,
    "subcmul": partial(torch.addcmul, value=-1),
    "stop": _copy,
    "copy": _copy,
    "number": _copy,
    "zero": _zero,
}
