"""Workers of `tf.distribute`: a strategy as a group."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

from backends.tensorflow_backend.coordination import failing_after
from backends.tensorflow_backend.tasks import GONE, Tasks, tasks_of
from rnnspec.contract.arrays import Array
from rnnspec.errors import ArgumentError
from rnnspec.running.programs import Function, Programs
from rnnspec.tree import Tree, flat
from rnnspec.workers.digits import DIGITS, joined, split
from rnnspec.workers.group import Group, no_answer

__all__ = ["StrategyGroup"]

NO_LIMIT = tf.distribute.experimental.CommunicationOptions(timeout_seconds=0)
"""An exchange past TensorFlow's own limit of time goes on in memory that is freed, so that processes crash."""


class StrategyGroup(Group):
    """The workers of a `MultiWorkerMirroredStrategy`, or the one worker of a `MirroredStrategy`.

    `devices` are those of this worker. A worker that does not answer is waited for as long as the strategy's
    `communication_options` say. Raises ArgumentError where the strategy is another one, or its devices are not the
    backend's.
    """

    def __init__(self, strategy: Any, device: str) -> None:
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        if not several and not isinstance(strategy, tf.distribute.MirroredStrategy):
            raise _unknown(type(strategy).__name__, "give one of them, or an rnnspec.Group")
        self.strategy = strategy
        self.devices: tuple[str, ...] = strategy.extended.worker_devices
        other = [name for name in self.devices if tf.DeviceSpec.from_string(name).device_type != device.upper()]
        if other:
            raise _unknown(f"the device {other[0]}", f"make a strategy of devices {device.upper()}")
        self.tasks = tasks_of(strategy.cluster_resolver) if several else Tasks((("worker", 0),), 0)
        self.rank, self.size = self.tasks.rank, len(self.tasks.names)
        self.patience: float | None = strategy.extended._communication_options.timeout_seconds if several else None
        # Every worker traces the same graphs in the same order, from which TensorFlow numbers its exchanges.
        self.graphs = Programs(self._traced)

    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """As the base says; raises WorkerError where a worker does not answer."""
        if self.size == 1:
            return arrays, counts
        kind = np.float64 if any(a.dtype == tf.float64 for a in arrays) else np.float32
        digits = tf.constant(np.array([split(count) for count in counts], kind).reshape(-1))
        added_up, begun = self.graphs.of(_added, (), (arrays, digits)), time.monotonic()
        try:
            with failing_after(self.patience):
                sums, added = added_up(*arrays, digits)
        except GONE as error:
            gone = self.tasks.gone(error)
            raise no_answer(gone, time.monotonic() - begun) from error
        return sums, [joined(each) for each in added.numpy().reshape(-1, DIGITS)]

    def _traced(self, function: Function, _: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Any:
        def traced(*tensors: Array) -> tuple[list[Array], Array]:
            return self.strategy.run(function, tensors)  # type: ignore[no-any-return]

        signature = [tf.TensorSpec(a.shape, a.dtype) for a in flat(arguments)]
        return tf.function(traced, input_signature=signature, autograph=False).get_concrete_function()


def _added(*tensors: Array) -> tuple[list[Array], Array]:
    """The sums over all workers of arrays, and of the digits after them, exchanged as one vector of their dtype."""
    kind = tensors[-1].dtype
    parts = [tf.reshape(tf.cast(a, kind), (-1,)) for a in tensors]
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.concat(parts, 0), NO_LIMIT)
    sums = tf.split(total, [int(np.prod(a.shape)) for a in tensors])
    *found, digits = (tf.cast(tf.reshape(each, a.shape), a.dtype) for each, a in zip(sums, tensors, strict=True))
    return found, digits


def _unknown(got: str, do: str) -> ArgumentError:
    return ArgumentError("tensorflow.across(workers)", "workers must be a MultiWorkerMirroredStrategy or a "
                         "MirroredStrategy of the backend's device", got, do)  # fmt: skip
