"""A network as two pure functions for streams, for use within `jax.lax.scan` and `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from backends.jax_backend.layer import Apply, check_precision
from rnnspec.contract.arrays import Array
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.running.beginning import begun
from rnnspec.tree import Tree

__all__ = ["Stream", "stream"]


class Stream(NamedTuple):
    """`init_state(batch) -> state`, and `step(params, state, inputs, lengths=None, resets=None) -> (state, outputs)`.

    Inputs are one step (batch, feature), of class numbers (batch,), or a window of steps (time, batch, feature), and so
    are the outputs and the resets. A network that learns its initial states needs `init_state(batch, params)`.
    `lengths` (batch,) are the rows' real steps of the window, 0 or 1 of one step. The order of arguments and results is
    that of `jax.lax.scan`, as in `lax.scan(partial(step, params), init_state(batch), inputs)`. Both may be traced;
    gradients and errors are those of `apply`.
    """

    init_state: Callable[[int], Tree]
    step: Callable[..., tuple[Tree, Array]]


def stream(backend: Backend, net: Network) -> Stream:
    """The functions of a network whose layers run forward; raises UnsupportedError for others."""
    validation.forward_only(backend, "as_stream", net)
    return Stream(InitState(backend, net), Step(backend, net))


@dataclass(frozen=True, eq=False)
class InitState:
    """The state of so many rows before their first step."""

    backend: Any
    net: Network

    def __call__(self, batch: int, params: Tree = None) -> Tree:
        """Zeros, or the learned states; raises ArgumentError where these need parameters and there are none."""
        check_precision(self.backend, "as_stream.init_state")
        traced, net = self.backend.traced, self.net
        if params is None and net.learns_states:
            raise ArgumentError("jax.as_stream.init_state(...)", "params must be given where states are learned",
                                "None", "call init_state(batch, params)")  # fmt: skip
        own = validation.parameters(traced, "as_stream.init_state", net, params) if net.learns_states else None
        return begun(traced.arrays, net, own, net.unset_state(batch, traced.zeros), batch)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a stream, or a window of steps; a pickle is the backend and the network."""

    backend: Any
    net: Network

    def __call__(
        self, params: Tree, state: Tree, inputs: Any, lengths: Any = None, resets: Any = None
    ) -> tuple[Tree, Array]:
        """The next state and the outputs."""
        axes = 1 if isinstance(self.net.inputs, Embedding) else 2
        one = len(getattr(inputs, "shape", ())) == axes
        x, begun = (_with_time(inputs), _with_time(resets)) if one else (inputs, resets)
        outputs, final = self.apply(params, x, state, lengths, begun)
        return final, outputs[0] if one and not isinstance(self.net.read, Last) else outputs

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.backend, self.net)

    @cached_property
    def apply(self) -> Apply:
        """The run of a window."""
        return Apply(self.backend, self.net)


def _with_time(a: Any) -> Any:
    """The arrays of one step as those of a window of one step."""
    return None if a is None else a[None]
