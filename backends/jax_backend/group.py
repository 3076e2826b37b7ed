"""The workers of a mesh: the processes whose devices it holds, each with its own devices."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnspec.contract.arrays import Array
from rnnspec.errors import ArgumentError
from rnnspec.workers.digits import DIGITS, joined, split
from rnnspec.workers.group import Group, no_answer

__all__ = ["JaxGroup"]

WORKERS = "workers"
"""The axis of the mesh of all workers, which has one device of each."""
NARROW, WIDE = jnp.dtype(jnp.float32), jnp.dtype(jnp.float64)


class JaxGroup(Group):
    """The processes of a mesh with one axis, in the order in which their devices come in it.

    `devices` are those of this process, over which it spreads its rows. Raises ArgumentError where the mesh has another
    number of axes, devices of another kind than CPUs, or none of this process.
    """

    def __init__(self, mesh: Mesh) -> None:
        call, do = "jax.across(mesh)", 'write jax.make_mesh((len(jax.devices()),), ("rows",))'
        if len(mesh.axis_names) != 1:
            raise ArgumentError(call, "mesh must have one axis", f"axes {mesh.axis_names}", do)
        devices = list(mesh.devices)
        others = sorted({device.platform for device in devices} - {"cpu"})
        if others:
            raise ArgumentError(call, "mesh must have CPU devices", f"devices of {', '.join(others)}",
                                'take them from jax.devices("cpu")')  # fmt: skip
        own = jax.process_index("cpu")
        processes = list(dict.fromkeys(device.process_index for device in devices))
        if own not in processes:
            raise ArgumentError(call, f"mesh must have a device of this process, {own}",
                                f"devices of the processes {', '.join(map(str, processes))}", do)  # fmt: skip
        self.rank, self.size = processes.index(own), len(processes)
        self.devices = [device for device in devices if device.process_index == own]
        self._first = [next(d for d in devices if d.process_index == process) for process in processes]

    def __repr__(self) -> str:
        return f"<worker {self.rank} of {self.size}, with {len(self.devices)} devices>"

    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """As the base says, by one `psum` of one vector.

        JAX ends a process by itself where another has sent no sign of life for so long as `jax.distributed.initialize`
        says; the message names that process.
        """
        if self.size == 1:
            return arrays, counts
        kind = WIDE if any(a.dtype == WIDE for a in arrays) else NARROW
        own = [np.asarray(a).astype(kind).ravel() for a in arrays]
        ends = np.cumsum([len(a) for a in own], dtype=int)
        found = self._total(np.concatenate([*own, np.ravel([split(n) for n in counts]).astype(kind)]))
        *sums, digits = np.split(found, ends)
        numbers = [joined(list(each)) for each in digits.reshape(-1, DIGITS)]
        with jax.enable_x64(kind == WIDE), jax.default_device(self.devices[0]):
            return [jax.device_put(s.astype(a.dtype).reshape(a.shape))
                    for s, a in zip(sums, arrays, strict=True)], numbers  # fmt: skip

    def _total(self, vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The sum of the vectors of all workers."""
        begun = time.monotonic()
        with jax.enable_x64(vector.dtype == WIDE):
            own = jax.device_put(vector[None], self.devices[0])
            whole = jax.make_array_from_single_device_arrays((self.size, *vector.shape), self._spread, [own])
            try:
                return np.asarray(self._program(whole).addressable_data(0))
            except jax.errors.JaxRuntimeError as error:
                others = [rank for rank in range(self.size) if rank != self.rank]
                raise no_answer(others if self.size == 2 else [], time.monotonic() - begun) from error

    @cached_property
    def _spread(self) -> NamedSharding:
        return NamedSharding(Mesh(np.array(self._first), (WORKERS,)), PartitionSpec(WORKERS))

    @cached_property
    def _program(self) -> Any:
        def total(vectors: Array) -> Array:
            return jax.lax.psum(vectors[0], WORKERS)

        spread = self._spread
        return jax.jit(jax.shard_map(total, mesh=spread.mesh, in_specs=spread.spec, out_specs=PartitionSpec()))
