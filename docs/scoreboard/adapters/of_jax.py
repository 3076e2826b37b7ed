"""Haiku and Equinox: single steps of JAX, scanned by JAX itself, called from torch, with gradients by `jax.vjp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch
from maps import Maps, adapted
from torch import Tensor

from rnnspec import Cell, cells
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell

jax.config.update("jax_enable_x64", True)
Scan = Callable[[dict[str, Any], Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]


class Bridge(torch.autograd.Function):
    """A function of JAX with its pullback."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], *arrays: Tensor) -> tuple[Tensor, ...]:
        found, ctx.pull = jax.vjp(function, *(jnp.asarray(a.detach().numpy()) for a in arrays))
        ctx.like = found
        return tuple(torch.from_numpy(np.array(a)) for a in found)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        given = tuple(jnp.asarray(d.numpy(), a.dtype) for d, a in zip(cotangents, ctx.like, strict=True))
        return None, *(torch.from_numpy(np.array(a)) for a in ctx.pull(given))


def layer(cell: Cell, scan: Scan, width: str) -> Any:
    names: list[str] = []

    @jax.jit  # one program for each shape
    def function(x: Any, *arrays: Any) -> Any:
        outputs, final = scan(dict(zip(names, arrays, strict=False)), x, arrays[len(names) :])
        return outputs, *final

    def run(maps: Maps, x: Tensor, state: Any) -> Any:
        names[:] = maps
        begun = state or tuple(x.new_zeros(x.shape[1], len(maps[width])) for _ in cell.states)
        outputs, *final = Bridge.apply(function, x, *maps.values(), *begun)
        return outputs, tuple(final)

    return adapted(cell)(run)


def stacked(maps: dict[str, Any], kind: str, gates: str) -> Any:
    return jnp.concatenate([maps[f"{kind}.{gate}"] for gate in gates.split()])


def haiku(make: Callable[[int], Any], params: Callable[..., dict[str, Any]], width: str, states: Any) -> Scan:
    """A core of Haiku, unrolled by its own `dynamic_unroll`."""
    def scan(maps: dict[str, Any], x: Any, state: tuple[Any, ...]) -> Any:
        run = hk.without_apply_rng(hk.transform(
            lambda x, state: hk.dynamic_unroll(make(len(maps[width])), x, state)))  # fmt: skip
        outputs, final = run.apply(params(maps), x, states(state))
        return outputs, tuple(final) if isinstance(final, tuple) else (final,)

    return scan


def lstm_params(maps: dict[str, Any]) -> dict[str, Any]:
    w = jnp.concatenate((stacked(maps, "W", "i g f o"), stacked(maps, "U", "i g f o")), 1)
    return {"lstm/linear": {"w": w.T, "b": stacked(maps, "b", "i g f o")}}


def gru_params(maps: dict[str, Any]) -> dict[str, Any]:
    return {"gru": {"w_i": stacked(maps, "W", "z r n").T, "w_h": stacked(maps, "U", "z r n").T,
                    "b": stacked(maps, "b", "z r n")}}  # fmt: skip


@cell
def lstm_plus_one(x, R, h, c):
    """An LSTM whose forget gate has 1 more in its sum."""
    i, f = sigmoid(x.i + R.i(h)), sigmoid(x.f + R.f(h) + 1)
    g, o = tanh(x.g + R.g(h)), sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def gru_before(x, R, h):
    """A GRU that resets before its map, and whose z lets the new value in."""
    z, r = sigmoid(x.z + R.z(h)), sigmoid(x.r + R.r(h))
    n = tanh(x.n + R.n(r * h))
    return (1 - z) * h + z * n


HAIKU_LSTM = haiku(hk.LSTM, lstm_params, "b.i", lambda state: hk.LSTMState(*state))
haiku_lstm = layer(cells.lstm, HAIKU_LSTM, "b.i")
haiku_lstm_plus_one = layer(lstm_plus_one, HAIKU_LSTM, "b.i")
haiku_gru = layer(gru_before, haiku(hk.GRU, gru_params, "b.z", lambda state: state[0]), "b.z")


def equinox(make: Callable[..., Any], tensors: Callable[..., dict[str, Any]], width: str) -> Scan:
    """A cell of Equinox, mapped over the rows and scanned."""
    def scan(maps: dict[str, Any], x: Any, state: tuple[Any, ...]) -> Any:
        given = tensors(maps)
        made = make(x.shape[-1], len(maps[width]), key=jax.random.key(0))
        step = eqx.tree_at(lambda cell: [getattr(cell, name) for name in given], made, list(given.values()))

        def one(carry: Any, row: Any) -> Any:
            found = jax.vmap(step)(row, carry)
            return found, found[0] if isinstance(found, tuple) else found

        final, outputs = jax.lax.scan(one, state if len(state) > 1 else state[0], x)
        return outputs, final if isinstance(final, tuple) else (final,)

    return scan


equinox_lstm = layer(cells.lstm, equinox(eqx.nn.LSTMCell, lambda maps: {
    "weight_ih": stacked(maps, "W", "i f g o"), "weight_hh": stacked(maps, "U", "i f g o"),
    "bias": stacked(maps, "b", "i f g o")}, "b.i"), "b.i")  # fmt: skip
equinox_gru = layer(cells.gru, equinox(eqx.nn.GRUCell, lambda maps: {
    "weight_ih": stacked(maps, "W", "r z n"), "weight_hh": stacked(maps, "U", "r z n"),
    "bias": stacked(maps, "b", "r z n"), "bias_n": maps["p.n"]}, "b.z"), "b.z")  # fmt: skip
