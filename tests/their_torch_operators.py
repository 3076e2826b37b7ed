"""Operators of torch as kernels' authors write them, in chunks: each computes a published cell."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn import functional

CHUNK = 16


def chunk_gla(q, k, v, a, initial_state=None, lengths=None):
    """Gated linear attention, (batch, time, heads, width)."""
    T = q.shape[1]
    S = q.new_zeros(*q[:, 0].shape, v.shape[-1]) if initial_state is None else initial_state
    real = torch.ones(1, T, 1, 1, dtype=torch.bool)
    if lengths is not None:
        real = (torch.arange(T) < lengths[:, None])[..., None, None]
        q, k, v, a = (torch.where(real, u, 0.0) for u in (q, k, v, a))
    g = torch.where(real, functional.logsigmoid(a) / 16, 0.0)
    outputs = []
    for begin in range(0, T, CHUNK):
        qc, kc, vc, gc = (u[:, begin : begin + CHUNK].transpose(1, 2) for u in (q, k, v, g))
        b = gc.cumsum(2)
        seen = torch.ones(b.shape[2], b.shape[2], dtype=torch.bool).tril()
        sums = torch.where(seen.tril(-1)[..., None], gc[:, :, :, None], 0.0).cumsum(2)
        decay = sums.masked_fill(~seen[..., None], -torch.inf).exp()
        scores = torch.einsum("bhtk,bhsk,bhtsk->bhts", qc, kc, decay)
        outputs.append((qc * b.exp()) @ S + scores @ vc)
        S = b[:, :, -1:].exp().mT * S + (kc * decay[:, :, -1]).mT @ vc
    return torch.cat(outputs, 2).transpose(1, 2), S


chunk_gla.layout = {"inputs": "batch time heads width"}


def chunk_deltanet(q, k, v, b, initial_state=None):
    """The delta rule by a triangular system for each chunk, (batch, heads, time, width)."""
    q, k = (u * torch.rsqrt((u * u).sum(-1, keepdim=True) + 1e-6) for u in (q, k))
    beta = b.sigmoid()[..., None]
    S = q.new_zeros(*q.shape[:2], v.shape[-1], k.shape[-1]) if initial_state is None else initial_state
    outputs = []
    for begin in range(0, q.shape[2], CHUNK):
        qc, kc, vc, bc = (u[:, :, begin : begin + CHUNK] for u in (q, k, v, beta))
        met = (bc * kc @ kc.mT).tril(-1)
        system = met + torch.eye(met.shape[-1], dtype=q.dtype)
        written = torch.linalg.solve_triangular(system, bc * (vc - kc @ S.mT), upper=False, unitriangular=True)
        outputs.append(qc @ S.mT + (qc @ kc.mT).tril() @ written)
        S = S + written.mT @ kc
    return torch.cat(outputs, 2), S


chunk_deltanet.layout = {"inputs": "batch heads time width", "b": "batch heads time"}


def chunk_mlstm(q, k, v, i, f, o, C0, n0, m0, lengths=None):
    """The mLSTM with a stabiliser, (batch, heads, time, width)."""
    C, n, m, T = C0, n0, m0, q.shape[2]
    real = torch.ones(1, 1, T, dtype=torch.bool)
    if lengths is not None:
        real = (torch.arange(T) < lengths[:, None])[:, None]
        q, k, v, o = (torch.where(real[..., None], u, 0.0) for u in (q, k, v, o))
        i, f = torch.where(real, i, -torch.inf), torch.where(real, f, 0.0)
    k, f = k / k.shape[-1] ** 0.5, torch.where(real, functional.logsigmoid(f), 0.0)
    outputs = []
    for begin in range(0, T, CHUNK):
        qc, kc, vc, ic, fc = (u[:, :, begin : begin + CHUNK] for u in (q, k, v, i, f))
        seen = torch.ones(fc.shape[-1], fc.shape[-1], dtype=torch.bool).tril()
        sums = torch.where(seen.tril(-1), fc[..., None], 0.0).cumsum(-2)  # no differences of sums, which lose digits
        D = (sums + ic[..., None, :]).masked_fill(~seen, -torch.inf)
        past = fc.cumsum(-1) + m[..., None]
        top = torch.maximum(past, D.amax(-1))
        weights, old = (D - top[..., None]).exp() * (qc @ kc.mT), (past - top).exp()[..., None]
        read = old * (qc @ C.mT) + weights @ vc
        norm = old * (qc @ n[..., None]) + weights.sum(-1, keepdim=True)
        outputs.append(read / torch.maximum(norm.abs(), (-top).exp()[..., None]))
        runs, scale = real[:, :, begin, None], (D[..., -1, :] - top[..., -1:]).exp()[..., None]
        C = torch.where(runs[..., None], old[..., -1:, :] * C + (scale * vc).mT @ kc, C)  # an ended row stays as it is
        n = torch.where(runs, old[..., -1, :] * n + (scale * kc).sum(-2), n)
        m = torch.where(runs[..., 0], top[..., -1], m)
    return o.sigmoid() * torch.cat(outputs, 2), (C, n, m)


chunk_mlstm.layout = {"inputs": "batch heads time width", "i": "batch heads time", "f": "batch heads time",
                      "m0": "batch heads"}  # fmt: skip


def ssd(v, dt, A, B, C, D, initial_state=None, cu_seqlens=None):
    """The recurrence of Mamba-2 in chunks, (batch, time, heads, width); B and C are one for all heads."""
    S = v.new_zeros(v.shape[0], *v.shape[2:], B.shape[-1]) if initial_state is None else initial_state
    if cu_seqlens is not None:
        rows = [ssd(*(u[:, low:high] for u in (v, dt)), A, B[:, low:high], C[:, low:high], D, S[i : i + 1])
                for i, (low, high) in enumerate(pairwise(cu_seqlens.tolist()))]  # fmt: skip
        return torch.cat([y for y, _ in rows], 1), torch.cat([last for _, last in rows])
    dt = functional.softplus(dt)
    g, u = -dt * A.exp(), dt[..., None] * v
    outputs = [v[:, :0]]
    for begin in range(0, v.shape[1], CHUNK):
        gc, uc, Bc, Cc = (w[:, begin : begin + CHUNK] for w in (g, u, B, C))
        b = gc.cumsum(1)
        seen = torch.ones(b.shape[1], b.shape[1], dtype=torch.bool).tril()
        sums = torch.where(seen.tril(-1)[..., None], gc[:, :, None], 0.0).cumsum(1)
        decay = sums.masked_fill(~seen[..., None], -torch.inf).exp()
        inner = torch.einsum("btn,bsn,btsh,bshv->bthv", Cc, Bc, decay, uc)
        outer = torch.einsum("btn,bth,bhvn->bthv", Cc, b.exp(), S)
        outputs.append(inner + outer)
        S = b[:, -1].exp()[..., None, None] * S + torch.einsum("bsn,bsh,bshv->bhvn", Bc, decay[:, -1], uc)
    return torch.cat(outputs, 1) + D[:, None] * v, S


ssd.layout = {"inputs": "batch time heads width", "dt": "batch time heads", "B": "batch time width",
              "C": "batch time width", "A": "heads", "D": "heads"}  # fmt: skip


def scan_mingru(z, h, initial_state=None, resets=None):
    """The minGRU by scans of twice as many steps each time, (time, batch, width)."""
    first = torch.zeros_like(h[0]) if initial_state is None else initial_state
    a, u = 1 - z.sigmoid(), z.sigmoid() * h
    if resets is not None:
        a = torch.where(resets[..., None], 0.0, a)
    step = 1
    while step < len(a):
        u = torch.cat([u[:step], u[step:] + a[step:] * u[:-step]])
        a = torch.cat([a[:step], a[step:] * a[:-step]])
        step = 2 * step
    h = u + a * first
    return h, h[-1]
