"""A network as two pure functions over pytrees, for use with `jax.jit`, `jax.grad`, `jax.vmap` and optax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backends.jax_backend.mesh import axes, varying
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Path
from rnnspec.contract.results import LayerResult
from rnnspec.embedding import Embedding
from rnnspec.errors import DtypeError, ShapeError, UnsupportedError
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.noise.masks import masks
from rnnspec.running import stack
from rnnspec.running.beginning import begun
from rnnspec.running.chunks import Given, Ran
from rnnspec.running.halves import Boundary, Met
from rnnspec.running.lowering import Trace
from rnnspec.running.parallel import Start, Tape
from rnnspec.running.recomputation import Saved
from rnnspec.running.triangular import System
from rnnspec.tree import Tree, tree_map

__all__ = ["Apply", "Functions", "check_precision", "functions"]

METHOD = "as_layer.apply"

for _kind, _data, _static in (
    (stack.Tape, ["inputs", "halves", "read", "lengths", "head", "noise"], ["steps", "batch"]),
    (stack.Ran, ["result"], ["call"]),
    (LayerResult, ["outputs", "state", "saved"], ["path"]),
    (Trace, ["values", "inputs", "mask", "resets"], []),
    (Saved, ["inputs", "lengths", "begins", "rest", "runs", "resets"], []),
    *((kind, [field.name for field in fields(kind)], []) for kind in (Tape, Start, Ran, Given, Met, Boundary, System)),
):
    jax.tree_util.register_dataclass(_kind, _data, _static)


class Functions(NamedTuple):
    """`init(seed or key) -> params`, and the outputs and the final state by `apply`.

    Its arguments are `(params, inputs, state=None, lengths=None, resets=None, key=None)`. Both may be traced. `key` is
    a `Key`, or a key of JAX, from which masks are drawn in NumPy by a callback where it is traced. Parameters are the
    network's tree, such as `net.init(seed)`. Gradients are those of the derived adjoint, with policies, and may be
    differentiated again in reverse mode. With `backend.through(Path.FRAMEWORK)` they are JAX's own, which also have
    forward mode. Raises an RnnSpecError, at the time of tracing, where an argument is not valid; traced lengths cannot
    be validated and are clipped to 0..time, traced class numbers to those of the embedding. `resets` (time, batch) is
    true where a step starts from zeros.
    """

    init: Callable[[Any], Tree]
    apply: Callable[..., tuple[Array, Tree]]


def functions(backend: Backend, net: Network) -> Functions:
    """The functions of a network."""
    return Functions(Init(backend, net), Apply(backend, net))


@dataclass(frozen=True, eq=False)
class Init:
    """The parameters of a seed or a key; a pickle is the backend and the network."""

    backend: Any
    net: Network

    def __call__(self, seed: Any) -> Tree:
        """The network's tree of parameters."""
        check_precision(self.backend, "as_layer.init")
        if isinstance(seed, int):
            return tree_map(self.backend.traced.from_numpy, self.net.init(seed))
        shapes = tree_map(lambda a: jax.ShapeDtypeStruct(a.shape, DTYPES[self.backend.precision]), self.net.init(0))

        def drawn(bits: Any) -> Tree:
            return tree_map(lambda a, like: a.astype(like.dtype), self.net.init(int(bits)), shapes)

        return jax.pure_callback(drawn, shapes, jax.random.bits(seed, dtype=jnp.uint32), vmap_method="sequential")


@dataclass(frozen=True, eq=False)
class Apply:
    """The outputs and the final state of a network; a pickle is the backend and the network."""

    backend: Any
    net: Network

    def __call__(
        self, params: Tree, inputs: Any, state: Tree = None, lengths: Any = None, resets: Any = None, key: Any = None
    ) -> tuple[Array, Tree]:
        """As `Functions` says."""
        check_precision(self.backend, METHOD)
        unseen = lengths is not None and (isinstance(lengths, jax.core.Tracer) or not _has_known_time(inputs))
        inputs = _clipped(self.net, inputs) if unseen else inputs
        hidden = resets is not None and (isinstance(resets, jax.core.Tracer) or not _has_known_time(inputs))
        traced = self.backend.traced
        own, x, first, ends, again = validation.arguments(traced, METHOD, self.net, params, inputs, state,
                                                          None if unseen else lengths,
                                                          resets=None if hidden else resets)  # fmt: skip
        _check_segments(self.backend, x)
        state = begun(traced.arrays, self.net, own, first, x.shape[1])
        noise = _noise(traced, self.net, x, key)
        given = (own, x, state, _held(lengths, x) if unseen else ends, _marked(resets, x) if hidden else again,
                 noise)  # fmt: skip
        return self._run(*varying(given, axes(given)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.backend, self.net)

    @cached_property
    def _run(self) -> Callable[..., tuple[Array, Tree]]:
        traced, net = self.backend.traced, self.net

        def plain(
            params: Tree, inputs: Array, state: Tree, lengths: Array | None, resets: Array | None, noise: Tree
        ) -> tuple[Array, Tree]:
            return stack.forward(traced, net, params, inputs, state, lengths, resets, noise, pullback=False)[:2]

        return plain if self.backend.path is Path.FRAMEWORK else _derived(traced, net, plain)


def _derived(traced: Backend, net: Network, plain: Callable[..., Any]) -> Callable[..., tuple[Array, Tree]]:
    run = jax.custom_vjp(plain)

    def forward(
        params: Tree, inputs: Array, state: Tree, lengths: Array | None, resets: Array | None, noise: Tree
    ) -> tuple[Any, Any]:
        outputs, final, tape = stack.forward(traced, net, params, inputs, state, lengths, resets, noise, pullback=True)
        return (outputs, final), (params, tape)

    def backward(kept: Any, cotangents: Any) -> tuple[Any, ...]:
        found = stack.backward(traced, net, *kept, *cotangents)
        return *varying(found, axes(kept)), None, None, None

    run.defvjp(forward, backward)
    return run  # type: ignore[no-any-return]


def _clipped(net: Network, inputs: Any) -> Any:
    """Class numbers of rows whose lengths cannot be read, so that those at padded steps may be any."""
    whole = isinstance(net.inputs, Embedding) and np.issubdtype(np.result_type(inputs), np.integer)
    return jnp.clip(jnp.asarray(inputs), 0, net.inputs.classes - 1) if whole else inputs  # type: ignore[union-attr]


def _noise(traced: Backend, net: Network, inputs: Array, key: Any) -> Tree:
    """The masks of a key; those of a key of JAX are drawn when the program runs."""
    if not isinstance(key, jax.Array):
        return next(iter(validation.noise(traced, METHOD, net, inputs, key)), None)
    if not net.has_noise:
        return None
    steps, batch = inputs.shape[:2]
    if not (isinstance(steps, int) and isinstance(batch, int)):
        raise UnsupportedError(f"jax.{METHOD}(...)", "time and batch must be known for a call with a key",
                               f"shape {inputs.shape}", "export without a key")  # fmt: skip
    own = tree_map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), masks(net, Key(0), steps, batch))

    def drawn(bits: Any) -> Tree:
        high, low = map(int, np.asarray(bits))
        return masks(net, Key(high << 32 | low), steps, batch)

    bits = jax.random.bits(key, (2,), jnp.uint32)
    return jax.pure_callback(drawn, own, bits, vmap_method="sequential")


def _has_known_time(inputs: Any) -> bool:
    """Whether the number of steps is known, and no symbol of an export."""
    return all(isinstance(size, int) for size in np.shape(inputs)[:1])


def _held(given: Any, inputs: Array) -> Array:
    lengths = jnp.asarray(given)
    call = f"jax.{METHOD}(...)"
    if not np.issubdtype(lengths.dtype, np.integer):
        raise DtypeError(call, "lengths must be whole numbers", f"dtype {lengths.dtype}", "convert them to int32")
    steps, batch = inputs.shape[:2]
    if lengths.shape != (batch,):
        raise ShapeError(call, f"lengths must have the shape ({batch},)", f"shape {lengths.shape}",
                         "give one number for each row")  # fmt: skip
    return jnp.clip(lengths, 0, steps).astype(jnp.int32)


def _marked(given: Any, inputs: Array) -> Array:
    """Resets whose numbers cannot be read, or whose time is a symbol."""
    resets, call = jnp.asarray(given), f"jax.{METHOD}(...)"
    if resets.dtype != bool:
        raise DtypeError(call, "resets must be true or false", f"dtype {resets.dtype}",
                         "convert them with astype(bool)")  # fmt: skip
    if resets.shape != inputs.shape[:2]:
        raise ShapeError(call, f"resets must have the shape {inputs.shape[:2]}, (time, batch)",
                         f"shape {resets.shape}", "say for each step of each row whether it starts afresh")  # fmt: skip
    return resets


def _check_segments(backend: Backend, inputs: Array) -> None:
    if backend.recomputes and not _has_known_time(inputs):
        raise UnsupportedError(f"jax.{METHOD}(...)", "the time must be known for a backend with recomputing",
                               f"shape {inputs.shape}",
                               "export with a fixed time, or use a backend without recomputing",
                               )  # fmt: skip


def check_precision(backend: Backend, method: str) -> None:
    """Raise UnsupportedError where the process does not allow the backend's precision."""
    if backend.precision == "f64" and not jax.config.jax_enable_x64:
        raise UnsupportedError(f"jax.{method}(...)", "a JAX program must allow 64 bits for f64",
                               "jax_enable_x64=False", "enable it, or use precision='f32'")  # fmt: skip
