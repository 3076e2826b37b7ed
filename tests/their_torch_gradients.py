"""Wrong pullbacks of the identity, as kernels with a backward of their own have them."""

from __future__ import annotations

import torch


class AssumesContiguous(torch.autograd.Function):
    """Reads a cotangent from the beginning of its memory."""

    @staticmethod
    def forward(ctx, a):
        return a.clone()

    @staticmethod
    def backward(ctx, d):
        strides = torch.empty(d.shape).stride()
        return d.as_strided(d.shape, strides, d.storage_offset())


class AssumesOne(torch.autograd.Function):
    """Takes every cotangent for one."""

    @staticmethod
    def forward(ctx, a):
        return a.clone()

    @staticmethod
    def backward(ctx, d):
        return torch.ones_like(d)


class Accumulates(torch.autograd.Function):
    """Adds a cotangent to that of the pullback before."""

    @staticmethod
    def forward(ctx, a):
        ctx.kept = 0
        return a.clone()

    @staticmethod
    def backward(ctx, d):
        ctx.kept = ctx.kept + d
        return ctx.kept
