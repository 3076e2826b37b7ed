"""The calls on one long sequence whose windows of time lie on several workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Gradients, Result, Step
from rnnspec.control.recurrence import reads_step, trace_hook
from rnnspec.errors import ArgumentError, NetworkError
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.showing import shown
from rnnspec.tree import Tree
from rnnspec.workers.exchange import Calls, Exchange
from rnnspec.workers.reading import lost, read, unread
from rnnspec.workers.stages import Stage, joined
from rnnspec.workers.trees import check_tree
from rnnspec.workers.window import Window, window

__all__ = ["Backward", "Call", "Forward", "OverTime"]


@dataclass(frozen=True)
class Call:
    """One call of a sequence on this worker: the network by stages, its parameters, and this worker's window."""

    exchange: Exchange
    stages: tuple[Stage, ...]
    params: Tree
    window: Window

    def run(self, stage: Stage, inputs: Array, state: Tree) -> Result:
        """A stage on this worker's window."""
        return self.exchange.backend.run(stage.net, stage.params(self.params), inputs, state, **self.window.more)

    def pull(self, stage: Stage, inputs: Array, state: Tree, output: Array, final: Tree) -> Gradients:
        """The pullback of `run`, from the cotangents of the outputs and of the final state."""
        return self.exchange.backend.pullback(stage.net, stage.params(self.params), inputs, output, final, state,
                                              **self.window.more)  # fmt: skip


@dataclass(frozen=True)
class Forward:
    """What a run leaves on this worker: of each stage its inputs and its state before this window, then the results.

    `outputs` are those of this worker's call of the last stage; `state` is that after the last window, by stages.
    """

    inputs: Sequence[Array]
    begun: Sequence[Tree]
    outputs: Array
    state: Sequence[Tree]
    path: tuple[tuple[str, str], ...]
    kept: Any = None
    """What else the way back reads."""


@dataclass(frozen=True)
class Backward:
    """What a pullback leaves on this worker: the gradients of this window, by stages, and of the first state of all."""

    params: Sequence[Tree]
    inputs: Array
    state: Sequence[Tree]


class OverTime(ABC):
    """Calls of a backend on one long sequence, with a window of its steps on each worker, in the order of ranks.

    `backend` is what `Backend.across` returns. Windows may differ in length, and be empty. What has a time axis is
    that of this worker's window, in calls and in results: inputs, resets, outputs, targets, and their cotangents. All
    else is that of the whole sequence, the same on every worker: parameters, states, lengths, the key, and sums.

    Numbers are those of one process to rounding. Raises ArgumentError where `backend` has no workers, NetworkError
    where a layer does not run forward in time, or a policy acts between steps or counts them, and WorkerError where
    another worker fails.
    """

    def __init__(self, backend: Calls) -> None:
        if getattr(backend, "group", None) is None:
            raise ArgumentError(f"{type(self).__name__}(backend)", "backend must be one of several workers",
                                shown(backend), "give backend.across(workers)")  # fmt: skip
        self.backend, self.group = backend.alone, backend.group

    @abstractmethod
    def stages(self, call: str, net: Network) -> tuple[Stage, ...]:
        """The stages of a network; raises NetworkError where it cannot run in this way."""

    @abstractmethod
    def forward(self, call: Call, state: Sequence[Tree]) -> Forward:
        """A run, from the state before the first window by stages; None are those of a call without a state."""

    @abstractmethod
    def backward(self, call: Call, ran: Forward, output: Array, final: Sequence[Tree]) -> Backward:
        """The pullback of a run from the cotangents of this window's outputs, and of the final state by stages."""

    def run(
        self, net: Network, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Result:
        """As `Backend.run`: the outputs of this window, with `Last()` of all rows, and the state after the last one."""
        call, ran = self._ran("run", net, params, inputs, state, lengths, resets, key)
        return Result(read(call.exchange, net, call.window, ran.outputs), _states(ran.state), ran.path)

    def pullback(
        self, net: Network, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Gradients:
        """As `Backend.pullback`: the gradients of this window's inputs, and the sums of those of parameters."""
        call, ran = self._ran("pullback", net, params, inputs, state, lengths, resets, key)
        output = unread(call.exchange, net, call.window, output_cotangent)
        if state_cotangent is not None:
            shapes = net.state_shapes(call.window.batch)
            call.exchange.each(lambda: check_tree(call.exchange.call, "state_cotangent", state_cotangent, shapes))
        return self._pulled(net, call, ran, output, state_cotangent)

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Step:
        """As `Backend.value_and_grad`, with the loss and the count of all windows; hand the result to `update`."""
        if isinstance(net, Network) and net.loss is None:
            raise NetworkError(self._named("value_and_grad"), "the network must have a loss", "loss=None",
                               "write Network(..., loss=...)")  # fmt: skip
        call, ran = self._ran("value_and_grad", net, params, inputs, state, lengths, resets, key)
        found = lost(call.exchange, net, call.window, read(call.exchange, net, call.window, ran.outputs), targets)
        grads = self._pulled(net, call, ran, found.cotangent, None)
        return Step(found.loss_sum, found.count, grads, _states(ran.state))

    def _named(self, method: str) -> str:
        return f"{self.backend.name}, {type(self).__name__}.{method}(...)"

    def _ran(
        self, method: str, net: Network, params: Tree, inputs: Any, state: Tree, lengths: Any, resets: Any,
        key: Key | None,
    ) -> tuple[Call, Forward]:
        name = self._named(method)
        _check(name, net)
        stages = self.stages(name, net)
        if len(stages) > 1 and key is not None and net.has_noise:
            raise NetworkError(name, "there must be no noise where layers run apart", shown(key),
                               "use Chain, which runs all layers of a window together")  # fmt: skip
        exchange = Exchange(name, self.backend, self.group)

        def check(rows: int) -> None:
            check_tree(name, "params", params, net.parameter_shapes())
            if state is not None:
                check_tree(name, "state", state, net.state_shapes(rows))

        call = Call(exchange, stages, params, window(exchange, inputs, lengths, resets, key, check))
        return call, self.forward(call, [stage.state(state) for stage in stages])

    def _pulled(self, net: Network, call: Call, ran: Forward, output: Array, final: Tree) -> Gradients:
        found = self.backward(call, ran, output, [stage.state(final) for stage in call.stages])
        shapes = net.parameter_shapes()
        params, _ = call.exchange.sums(lambda: (joined(found.params), ()), shapes)
        return Gradients(params, found.inputs, _states(found.state))


def _states(stages: Sequence[Tree]) -> Tree:
    return [layer for stage in stages for layer in stage]


def _check(call: str, net: Network) -> None:
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", shown(net), "declare one with rnnspec.Network(...)")
    for i, layer in enumerate(net.layers):
        if layer.direction != "forward":
            raise NetworkError(call, "every layer must run forward in time", f"layers.{i} {layer.direction}",
                               "make it forward, or give each worker whole rows")  # fmt: skip
        policy, states = layer.gradient, layer.cell.states
        if policy is not None and (trace_hook(policy, "carry", states) is not None or reads_step(policy, states)):
            raise NetworkError(call, "no policy may have the hook carry, or read the step", f"layers.{i} {policy}",
                               "leave it out, or give each worker whole rows: windows cut those edges")  # fmt: skip
