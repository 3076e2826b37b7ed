"""The JAX backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from backends.jax_backend.arrays import JaxArrays
from rnnspec.arrays import Array, Arrays
from rnnspec.backend import Backend
from rnnspec.capabilities import DTYPES
from rnnspec.programs import Function, Program, Programs, is_empty
from rnnspec.tree import Tree

__all__ = ["JaxBackend"]


class JaxBackend(Backend):
    """JAX on the CPU: one program per function, network and shapes; `lengths` are data, so they compile nothing.

    Both precisions live side by side: 64 bits are asked for around each call, in its thread only, whatever the
    process's configuration.
    """

    name = "jax"
    version = jax.__version__

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        self.programs = Programs(self._compile)
        super().__init__(device, precision)

    @property
    def programs_compiled(self) -> int:
        """How many programs were compiled."""
        return self.programs.compiled

    @contextmanager
    def settings(self) -> Iterator[None]:
        """The thread's settings of JAX while the backend computes."""
        with jax.enable_x64(self.precision == "f64"), jax.default_device(jax.local_devices(backend="cpu")[0]):
            yield

    def make_arrays(self) -> Arrays:
        return JaxArrays(DTYPES[self.precision])

    def program(self, function: Function, *constants: Any) -> Program:
        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            with self.settings():
                if is_empty(arguments):
                    return function(self, *constants, *arguments)
                return self.programs.of(function, constants, arguments)(*arguments)

        return call

    def _compile(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Program:
        said: list[Tree] = []

        def traced(*arguments: Tree) -> Tree:
            tree, second = function(self, *constants, *arguments)
            said[:] = [second]
            return tree

        compiled = jax.jit(traced)
        return lambda *arguments: (compiled(*arguments), said[0])

    def is_own(self, array: Any) -> bool:
        return isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer)

    def own_device(self, array: Any) -> str:
        return ",".join(sorted({device.platform for device in array.devices()}))

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        kind = DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype
        with self.settings():
            return jax.device_put(np.array(array, kind))
