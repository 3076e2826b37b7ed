"""A call that is bound to its network and parameters: they are looked at once, and packed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Self

import numpy as np

from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.contract.results import Gradients, Result
from rnnspec.embedding import Embedding
from rnnspec.errors import UnsupportedError
from rnnspec.interface import validation
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.running import execution
from rnnspec.running.beginning import begun
from rnnspec.running.programs import Function
from rnnspec.running.stepping import ProgramSteps, Stepper
from rnnspec.tree import Tree, tree_map

__all__ = ["Bound"]

_HOST = NumpyArrays("float64")


class Bound:
    """A network with its parameters, bound to a backend by `backend.bound(net, params)`.

    The parameters were copied: a later change of the caller's arrays has no effect. `run` and `pullback` give the
    numbers of the backend's own calls; a product that adds up its terms in another order may differ in the last bits.
    They keep nothing, so threads may share them where the backend's capabilities say `concurrent`.

    `step` runs a stream: it keeps the state for the next step. One thread at a time may step; `stream()` gives each
    thread a stream of its own. A pickle or a copy is bound anew, and its stream goes on from the same state. The
    outputs and states of steps are those of `run` over all steps, up to rounding: one product over many steps may add
    up its terms in another order than a product for each step.
    """

    def __init__(self, backend: Any, net: Network, params: Tree) -> None:
        self.backend, self.net, self._params = backend, net, params
        self._run, self._pullback = self.program(execution.run), self.program(execution.pullback)
        self._alone = _Alone(f"{backend.name}.bound(...)")
        self._known: tuple[int, ...] = (-1,)
        """The shape of the last inputs of a run, unless they were class numbers."""
        self._classes = isinstance(net.inputs, Embedding)
        self._begin()

    def __repr__(self) -> str:
        return f"<rnnspec call of {self.backend!r}, bound to a network of {self.net.inputs} inputs>"

    def __reduce__(self) -> tuple[Any, ...]:
        be, state = self.backend, self.state
        return _bound_again, (be, self.net, be.to_numpy(self._params), None if state is None else be.to_numpy(state))

    # Methods that a backend overrides.

    def program(self, function: Function) -> Callable[..., tuple[Tree, Tree]]:
        """A function of `rnnspec.running.execution`, as a function of the arrays after the parameters."""
        return partial(self.backend.program(function, self.net), self._params)

    def stepper(self, state: Tree, batch: int) -> Stepper:
        """A stream of so many rows that begins at a state, in arrays that nobody else has."""
        return ProgramSteps(self.program(execution.step), state)

    # Methods that users call.

    def run(
        self, inputs: Array, state: Tree = None, lengths: Array = None, resets: Array = None, key: Key | None = None
    ) -> Result:
        """As `Backend.run`; it raises the same errors."""
        be, net, shape = self.backend, self.net, self._known  # read once: another thread may set it
        if state is None and lengths is None and resets is None and be.fits(inputs, shape):
            given = inputs, net.unset_state(shape[1], be.zeros), None, None
        else:
            given = validation.sequences(be, "bound(...).run", net, inputs, state, lengths, False, resets)
            self._known = (-1,) if self._classes else tuple(given[0].shape)
        noise = () if key is None else validation.noise(be, "bound(...).run", net, given[0], key)
        (outputs, final), path = self._run(*given, *noise)
        return Result(outputs, final, path)

    def pullback(
        self, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None, state: Tree = None,
        lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Gradients:
        """As `Backend.pullback`; it raises the same errors."""
        be, net, method = self.backend, self.net, "bound(...).pullback"
        given = validation.sequences(be, method, net, inputs, state, lengths, True, resets)
        all_given = (self._params, *given)
        cotangents = validation.cotangents(be, method, net, all_given, output_cotangent, state_cotangent)
        noise = validation.noise(be, method, net, given[0], key)
        (own, x, first), _ = self._pullback(*given, *cotangents, *noise)
        return Gradients(own, x, first)

    def step(self, x_t: Array) -> Array:
        """The outputs (batch, feature) of the next step `x_t` (batch, feature), whose state is kept for the one after.

        Class numbers of an embedding are (batch,). The first step after `reset()` decides the number of rows. With
        `Last()` the outputs are those of the steps so far. Raises UnsupportedError where a layer is not forward, or
        another thread runs a step, and ShapeError, DtypeError, DeviceError, InputError or ArgumentError where `x_t`
        does not fit; the state is then as it was.
        """
        with self._alone:
            if self._stepper is None or not self.backend.fits(x_t, self._shape):
                x_t = self._received(x_t)
            return self._stepper.step(x_t)  # type: ignore[union-attr]  # there is one by now

    @property
    def state(self) -> Tree:
        """The state after the last step as a tree like `Result.state`, copied; None where the stream begins anew.

        It can be set to a state that the stream goes on from, or to None. Setting it raises what `run` raises where a
        state does not fit.
        """
        with self._alone:
            return None if self._stepper is None else self._copied(self._stepper.state)

    @state.setter
    def state(self, state: Tree) -> None:
        with self._alone:
            if state is None:
                return self._begin()
            validation.forward_only(self.backend, "bound(...).state", self.net)
            own, batch = validation.state(self.backend, "bound(...).state", self.net, state)
            return self._begin(self._copied(own), batch)

    def reset(self, rows: Array = None) -> None:
        """Begin anew; with `rows` (batch,), only the rows where it is true, whose next step starts as a first one does.

        Raises ArgumentError, DtypeError or ShapeError where `rows` is not true or false for each row of the stream.
        """
        with self._alone:
            if rows is None:
                return self._begin()
            anew = validation.rows(self.backend, "bound(...).reset", rows, self._shape[0])
            if self._stepper is not None:
                self._stepper.state = self._copied(self._stepper.state, anew)
            return None

    def stream(self) -> Self:
        """The same call with a stream of its own, which begins anew; the parameters are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._alone = _Alone(self._alone.call)
        other._begin()
        return other

    def _begin(self, state: Tree = None, batch: int | None = None) -> None:
        """Begin at a state of so many rows, which nobody else has; None: at zeros, of as many rows as the next step."""
        features = None if self._classes else self.net.input_features  # None: class numbers are looked at every time
        self._stepper, self._shape = None, (0, features)
        if batch is not None:
            self._stepper, self._shape = self.stepper(state, batch), (batch, features)

    def _received(self, x_t: Any) -> Array:
        """A step as the backend's own array, validated; the first one begins the stream."""
        be, net = self.backend, self.net
        validation.forward_only(be, "bound(...).step", net)
        own = validation.step(be, "bound(...).step", net, x_t, None if self._stepper is None else self._shape[0])
        if self._stepper is None:
            batch = int(own.shape[0])
            self._begin(self._anew(batch), batch)
        return own

    def _anew(self, batch: int) -> Tree:
        """The state of so many rows that begin: zeros, or learned states."""
        be, net = self.backend, self.net
        if not net.learns_states:
            return net.state_tree(batch, be.zeros)
        found = begun(_HOST, net, be.to_numpy(self._params), net.unset_state(batch, _HOST.zeros), batch)
        return tree_map(be.from_numpy, found)

    def _copied(self, state: Tree, anew: Any = ()) -> Tree:
        """The state in new memory, where some rows begin anew."""
        rows = np.flatnonzero(anew)

        def copied(a: Array, first: Array) -> Array:
            host = self.backend.to_numpy_array(a)
            host[rows] = self.backend.to_numpy_array(first)
            return self.backend.from_numpy(host)

        return tree_map(copied, state, self._anew(len(rows)))


def _bound_again(backend: Any, net: Network, params: Tree, state: Tree) -> Bound:
    """What a pickle holds, as a bound call: programs and locks belong to a process."""
    found: Bound = backend.bound(net, params)
    found.state = state
    return found


class _Alone:
    """Lets one call at a time use a stream, and refuses others."""

    def __init__(self, call: str) -> None:
        self.call, self.lock = call, Lock()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise UnsupportedError(self.call, "one thread at a time must use a stream", "a call while another one runs",
                                   "give each thread a stream of its own, by bound.stream()")  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self.lock.release()
