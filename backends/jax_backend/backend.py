"""The JAX backend."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backends.budgets import BUDGETS
from backends.contexts import both
from backends.jax_backend.arrays import JaxArrays
from backends.jax_backend.binding import Split, split
from backends.jax_backend.group import JaxGroup
from backends.jax_backend.layer import Functions, functions
from backends.jax_backend.rows import over_devices
from backends.jax_backend.stream import Stream, stream
from backends.planning.phases import under_xla
from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.capabilities import DTYPES, Capabilities
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.results import Gradients, Step
from rnnspec.derivation.schedule import Schedule
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.interface.bound import Bound
from rnnspec.network import Network
from rnnspec.running.parallel import Parallel
from rnnspec.running.programs import MOST_KEPT, Function, Program, Programs, is_empty
from rnnspec.running.widening import Widened
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree
from rnnspec.workers.group import Group

__all__ = ["JaxBackend"]

NAMES = {jnp.dtype(name): name for name in DTYPES.values()}
"""The names of dtypes, cached since NumPy is slow to spell them."""

SEGMENT = 256
"""The most steps of a matrix that run at once; of vectors they are four times as many. The values of more leave the
processor's cache between two operations of XLA."""

FLOAT = jnp.dtype(jnp.float32)


class Empty(Exception):
    """An argument is empty, so that compiling is not worth it."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Said:
    """The values beside arrays that a traced function returns: they are part of the program, not of its results."""

    second: Any


class JaxBound(Bound):
    """A bound call whose programs read the packed parameters."""

    def program(self, function: Function) -> Program:
        """As the base says; the parameters are packed at the first call for each shape."""
        whole, packed = super().program(function), dict[Any, tuple[Split, list[Array]]]()
        be: Any = self.backend

        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            key = (arguments[0].shape, *[a is None for a in arguments])
            found = packed.get(key)
            if found is None and is_empty(arguments):
                return whole(*arguments)
            with be.settings():
                if found is None:
                    if len(packed) >= MOST_KEPT:
                        packed.clear()
                    made: Split = be.splits.of(function, (self.net,), (self._params, *arguments))
                    found = packed[key] = made, made.pack(self._params)
                parts, maps = found
                return parts.rest(maps, *arguments), parts.said

        return call

    def _received(self, x_t: Any) -> Array:
        """As the base says; the program itself takes a NumPy array in the precision sooner than JAX makes one of it."""
        be: Any = self.backend
        follows = self._stepper is not None and type(x_t) is np.ndarray and x_t.dtype == be._dtype
        return x_t.copy() if follows and x_t.shape == self._shape else super()._received(x_t)


class JaxBackend(Backend):
    """JAX on the CPU: one program per function, network and shapes; `lengths` are data, so they compile nothing.

    All precisions work in one process: each call sets 64 bits for its own thread, for any configuration of the process.
    In bf16 and f16 each operation rounds its result, and products and sums are accumulated in float32.
    """

    binds = JaxBound
    name = "jax"
    version = jax.__version__
    chunks_from = 256  # fewer steps do not win back the seconds that their larger program takes to compile
    scans_from = 32768  # fewer steps are as quick one by one where their memory is at hand
    capabilities = Capabilities(precisions=("f32", "f64", "bf16", "f16"), resets=True, recur=True, embedding=True,
                                paths=(Path.GENERIC, Path.PARALLEL, Path.FRAMEWORK), learned_state=True,
                                budgets=BUDGETS["jax"])  # fmt: skip

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        self.programs = Programs(self._compile)
        self.splits: Programs[Split] = Programs(self._split)
        self.programs_compiled = 0
        """The number of compiled programs: one for each function, network and shapes."""
        super().__init__(device, precision)
        self._dtype = jnp.dtype(DTYPES[precision])

    @cached_property
    def _cpu(self) -> Any:
        return jax.local_devices(backend="cpu")[0]

    @cached_property
    def _here(self) -> set[Any]:
        return {self._cpu}

    @cached_property
    def _concrete(self) -> Any:
        """The type of arrays, as opposed to tracers."""
        with jax.ensure_compile_time_eval():
            return type(jax.device_put(np.zeros((), np.float32), self._cpu))

    def settings(self) -> AbstractContextManager[None]:
        """The thread's settings of JAX while the backend computes; right ones are not set again, which is slow."""
        wide = self._dtype.itemsize == 8
        widths = nullcontext() if jax.config.jax_enable_x64 == wide else jax.enable_x64(wide)
        first = jax.config.jax_default_device or jax.local_devices()[0]
        return widths if first is self._cpu else both(widths, jax.default_device(self._cpu))

    def make_arrays(self) -> Arrays:
        return JaxArrays(DTYPES[self.precision])

    def plan(self, cell: Cell, rows: int | None, width: int) -> Schedule:
        plan = super().plan(cell, rows, width)
        return under_xla(plan, rows, width) if isinstance(rows, int) else plan

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        kernel = replace(kernel, segment=SEGMENT)
        if self._dtype.itemsize >= FLOAT.itemsize:
            return super().in_parallel(kernel, call)
        found = super().in_parallel(replace(kernel, arrays=JaxArrays(FLOAT.name)), call)
        return Widened(found, self.wide, self.narrow)

    def mean_loss(self, loss_sum: Array, count: int) -> Array:
        with self.settings():
            return super().mean_loss(loss_sum, count)

    def wide(self, a: Array) -> Array:
        return a.astype(FLOAT) if self._dtype.itemsize < FLOAT.itemsize else a

    def narrow(self, a: Array) -> Array:
        return a.astype(self._dtype) if self._dtype.itemsize < FLOAT.itemsize else a

    def program(self, function: Function, *constants: Any) -> Program:
        program = self.programs.of(function, constants, ())

        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            with self.settings():
                try:
                    return program(*arguments)
                except Empty:
                    return function(self, *constants, *arguments)

        return call

    def framework_vjp(
        self, function: Callable[..., Tree], *arguments: Tree
    ) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        value, pull = jax.vjp(function, *arguments)
        return value, pull

    def make_group(self, workers: Any) -> Group:
        return JaxGroup(workers) if isinstance(workers, jax.sharding.Mesh) else super().make_group(workers)

    def _stepped(self, net: Network, given: tuple[Tree, ...], more: tuple[Tree, ...]) -> Step:
        devices = self.group.devices if isinstance(self.group, JaxGroup) else [self._cpu]
        if len(devices) == 1 or is_empty(given):
            return super()._stepped(net, given, more)
        with self.settings():
            loss_sum, own, x, first, final = over_devices(self, net, devices, given, more)
        return Step(loss_sum, validation.count(self, net, given, given[3]), Gradients(own, x, first), final)

    def _compile(self, function: Function, constants: tuple[Any, ...], _: tuple[Tree, ...]) -> Program:
        """One program for all shapes: JAX finds the compiled code for a shape faster than Python could."""
        kept = 0

        def trace(*arguments: Tree) -> tuple[Tree, Said]:
            nonlocal kept
            if is_empty(arguments):
                raise Empty
            tree, second = function(self, *constants, *arguments)
            kept += 1
            self.programs_compiled += 1
            return tree, Said(second)

        traced = jax.jit(trace)

        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            nonlocal kept
            if kept > MOST_KEPT:
                traced.clear_cache()
                kept = 0
            tree, said = traced(*arguments)
            return tree, said.second

        return call

    def _split(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Split:
        """The program of a bound call for one shape; the parameters are the first argument."""
        self.programs_compiled += 1
        return split(partial(function, self, *constants), *arguments)

    def is_own(self, array: Any) -> bool:
        return isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        """As in `Owner`, but fast, without names: every call checks every parameter."""
        return (
            type(array) is self._concrete
            and array.shape == shape
            and array.dtype == self._dtype
            and (array.sharding.device_set == self._here or self.own_device(array) == self.device)
        )

    def own_dtype(self, array: Any) -> str:
        return NAMES.get(array.dtype) or str(array.dtype)

    def own_device(self, array: Any) -> str:
        return ",".join(sorted({device.platform for device in array.devices()}))

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        kind = DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype
        with self.settings():
            return jax.device_put(np.array(array, jnp.dtype(kind)))

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return _zeros(shape, DTYPES[self.precision], self._cpu)

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array, np.float32 if array.dtype == jnp.bfloat16 else array.dtype)

    def as_layer(self, net: Network) -> Functions:
        """The network as two pure functions `(init, apply)` over pytrees, for `jax.jit`, `jax.grad` and others."""
        return functions(self, net)

    def as_stream(self, net: Network) -> Stream:
        """The network as two pure functions `(init_state, step)`, for `jax.lax.scan` and `jax.jit`.

        Raises UnsupportedError where a layer is not forward.
        """
        return stream(self, net)

    @cached_property
    def traced(self) -> Traced:
        """This backend for use within a user's program."""
        return Traced(self)


class Traced(JaxBackend):
    """The backend within a user's JAX program: it takes tracers, and leaves settings and devices to the program."""

    def __init__(self, backend: JaxBackend) -> None:
        super().__init__(backend.device, backend.precision)
        self.path, self.chunk = backend.path, backend.chunk
        self.recomputes, self.every = backend.recomputes, backend.every

    def is_own(self, array: Any) -> bool:
        return isinstance(array, jax.Array)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        return isinstance(array, jax.Array) and array.shape == shape and array.dtype == self._dtype

    def hides(self, array: Any) -> bool:
        return isinstance(array, jax.core.Tracer)

    def own_device(self, array: Any) -> str:
        return self.device

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        return jnp.asarray(array, DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return jnp.zeros(shape, DTYPES[self.precision])


@lru_cache(maxsize=1024)
def _zeros(shape: tuple[int, ...], dtype: str, device: Any) -> Array:
    """Cached zeros, which are immutable; making new ones takes 40 us."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(dtype == "float64"), jax.default_device(device):
        return jnp.zeros(shape, dtype)  # outside of any trace, since it is cached
