"""Operators of JAX as kernels' authors write them: each computes a published cell."""

from __future__ import annotations

import jax
import jax.numpy as jnp

CHUNK = 16


def chunk_retnet(q, k, v, gamma, initial_state):
    """Retention in chunks, (batch, heads, time, width)."""
    S, outputs = initial_state, []
    for begin in range(0, q.shape[2], CHUNK):
        qc, kc, vc = (u[:, :, begin : begin + CHUNK] for u in (q, k, v))
        t = jnp.arange(qc.shape[2])
        decay = jnp.where(t[:, None] >= t, gamma[:, None, None] ** jnp.maximum(t[:, None] - t, 0), 0)
        inner = (qc @ kc.mT * decay) @ vc
        outputs.append(inner + gamma[:, None, None] ** (t[:, None] + 1) * (qc @ S))
        left = gamma[:, None, None] ** (len(t) - 1 - t[:, None])
        S = gamma[:, None, None] ** len(t) * S + (left * kc).mT @ vc
    return jnp.concatenate(outputs, 2), S


chunk_retnet.layout = {"inputs": "batch heads time width", "gamma": "heads"}


def scan_hgrn(f, c, b, initial_state):
    """HGRN by an associative scan, (batch, time, width)."""
    bound = jax.nn.sigmoid(b)
    gate = bound + (1 - bound) * jax.nn.sigmoid(f)
    a, u = gate, (1 - gate) * jax.nn.silu(c)
    a, u = jax.lax.associative_scan(lambda one, two: (one[0] * two[0], two[0] * one[1] + two[1]), (a, u), axis=1)
    h = u + a * initial_state[:, None]
    return h, h[:, -1]


scan_hgrn.layout = {"inputs": "batch time width"}


def chunk_gla(q, k, v, a, initial_state, lengths=None):
    """Gated linear attention, a scan over chunks of steps, (batch, time, heads, width)."""
    T = q.shape[1]
    real = jnp.ones((1, T, 1, 1), bool)
    if lengths is not None:
        real = (jnp.arange(T) < lengths[:, None])[..., None, None]
        q, k, v, a = (jnp.where(real, u, 0) for u in (q, k, v, a))
    g = jnp.where(real, jax.nn.log_sigmoid(a) / 16, 0)
    blocks = -(-T // CHUNK)
    split = [jnp.pad(u, ((0, 0), (0, blocks * CHUNK - T), (0, 0), (0, 0))) for u in (q, k, v, g)]
    split = [u.reshape(u.shape[0], blocks, CHUNK, *u.shape[2:]).transpose(1, 0, 3, 2, 4) for u in split]
    seen = jnp.tril(jnp.ones((CHUNK, CHUNK), bool))[..., None]

    def body(S, chunk):
        qc, kc, vc, gc = chunk
        b = jnp.cumsum(gc, 2)
        decay = jnp.exp(jnp.where(seen, b[:, :, :, None] - b[:, :, None], -jnp.inf))
        o = (qc * jnp.exp(b)) @ S + jnp.einsum("bhtk,bhsk,bhtsk->bhts", qc, kc, decay) @ vc
        last = b[:, :, -1:]
        return jnp.exp(last).mT * S + (kc * jnp.exp(last - b)).mT @ vc, o

    S, outputs = jax.lax.scan(body, initial_state, tuple(split))
    return outputs.transpose(1, 0, 3, 2, 4).reshape(q.shape[0], blocks * CHUNK, *v.shape[2:])[:, :T], S


chunk_gla.layout = {"inputs": "batch time heads width"}
