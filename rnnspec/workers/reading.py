"""What a sequence's outputs become where a reading or a loss needs all windows: the last steps, or a lattice of CTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Step
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tracing.cell import cell
from rnnspec.tree import Shape
from rnnspec.workers.exchange import Exchange
from rnnspec.workers.window import Window

__all__ = ["Lost", "lost", "read", "unread"]


@dataclass(frozen=True)
class Lost:
    """The sum and the count of a loss over all windows, and its cotangent at what the own window's call puts out."""

    loss_sum: Array
    count: int
    cotangent: Array


def read(exchange: Exchange, net: Network, window: Window, outputs: Array) -> Array:
    """The outputs of the network: with `Last()` those of all rows, each from the window of its last step."""
    if not isinstance(net.read, Last):
        return outputs
    backend = exchange.backend
    own = backend.asarray(np.where(window.last, backend.to_numpy(outputs), 0.0))
    return exchange.sums(lambda: ([own], ()), [Shape(outputs.shape)])[0][0]


def unread(exchange: Exchange, net: Network, window: Window, cotangent: Array) -> Array:
    """The cotangent at what the own window's call puts out, from that of the outputs of the network."""
    if not isinstance(net.read, Last):
        return cotangent
    backend, shape = exchange.backend, (window.batch, net.features)

    def own() -> Array:
        host = backend.to_numpy(cotangent)
        return backend.asarray(np.where(window.last, host, 0.0)) if np.shape(host) == shape else cotangent

    return exchange.each(own)


def lost(exchange: Exchange, net: Network, window: Window, outputs: Array, targets: Any) -> Lost:
    """The loss of all windows, from what `read` gives.

    A loss of single steps is that of the own window's steps. One of whole rows, with `Last()` or with CTC, is computed
    by every worker, from the outputs of all; it counts once.
    """
    of_rows = isinstance(net.read, Last) or (net.loss is not None and net.loss.aligned)
    given, lengths = _given(exchange, net, window, outputs)
    found = exchange.each(lambda: _of(exchange, net, given, targets, lengths))
    own = ([found.loss_sum], [found.count]) if not of_rows or exchange.group.rank == 0 else (None, [0])
    (loss_sum,), (count,) = exchange.sums(lambda: own, [Shape(())], 1)
    cotangent = found.grads.inputs
    if isinstance(net.read, Last):
        cotangent = unread(exchange, net, window, exchange.backend.to_numpy(cotangent).sum(0))
    elif of_rows:
        cotangent = cotangent[window.start : window.end]
    return Lost(loss_sum, count, cotangent)


def _given(exchange: Exchange, net: Network, window: Window, outputs: Array) -> tuple[Array, Any]:
    """The steps whose loss this worker computes, and how many of them each row has."""
    backend = exchange.backend
    if isinstance(net.read, Last):
        steps = min(window.total, 1)
        return np.broadcast_to(backend.to_numpy(outputs), (steps, *outputs.shape)), np.minimum(window.rows, steps)
    if net.loss is None or not net.loss.aligned:
        return outputs, window.lengths
    shape = Shape((window.total, *outputs.shape[1:]))
    own = backend.asarray(window.placed(backend.to_numpy(outputs)))
    return exchange.sums(lambda: ([own], ()), [shape])[0][0], window.ends


@cell
def seen(x: Any) -> Any:
    """The input itself, of a layer that does nothing: its loss is that of given outputs."""
    return 1.0 * x


def _of(exchange: Exchange, net: Network, outputs: Array, targets: Any, lengths: Any) -> Step:
    """The loss of given outputs: that of a network whose outputs are its inputs."""
    own = Network(inputs=net.features, layers=[Layer(seen, hidden=net.features)], read=net.read, loss=net.loss)
    return exchange.backend.value_and_grad(own, own.init(0), outputs, targets, lengths=lengths)
