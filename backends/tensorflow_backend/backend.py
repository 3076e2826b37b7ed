"""The TensorFlow backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from backends.tensorflow_backend.arrays import TensorflowArrays
from rnnspec.arrays import Array, Arrays
from rnnspec.backend import Backend
from rnnspec.capabilities import DTYPES
from rnnspec.programs import Function, Program, Programs, is_empty
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["TensorflowBackend"]

CPU = "/CPU:0"


class TensorflowBackend(Backend):
    """TensorFlow on the CPU: one graph per function, network and shapes; `lengths` are data, so they trace nothing."""

    name = "tensorflow"
    version = tf.__version__

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        self.programs = Programs(self._compile)
        super().__init__(device, precision)

    @property
    def programs_compiled(self) -> int:
        """How many graphs were traced."""
        return self.programs.compiled

    def make_arrays(self) -> Arrays:
        return TensorflowArrays(DTYPES[self.precision])

    def program(self, function: Function, *constants: Any) -> Program:
        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            with tf.device(CPU):
                if is_empty(arguments):
                    return function(self, *constants, *arguments)
                return self.programs.of(function, constants, arguments)(*arguments)

        return call

    def _compile(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Program:
        given = tree_map(lambda a: a is not None, arguments)
        said: list[tuple[Tree, Tree]] = []

        def traced(*flat: Array) -> list[Array]:
            tensors = iter(flat)
            tree, second = function(self, *constants, *tree_map(lambda there: next(tensors) if there else None, given))
            said[:] = [(tree_map(lambda _: None, tree), second)]
            return [tensor for _, tensor in leaves(tree)]

        signature = [tf.TensorSpec(a.shape, a.dtype) for a in _tensors(arguments)]
        graph = tf.function(traced, input_signature=signature, autograph=False).get_concrete_function()

        def run(*arguments: Tree) -> tuple[Tree, Tree]:
            results = iter(graph(*_tensors(arguments)))
            shape, second = said[0]
            return tree_map(lambda _: next(results), shape), second

        return run

    def is_own(self, array: Any) -> bool:
        return isinstance(array, tf.Tensor) and not tf.is_symbolic_tensor(array)

    def own_dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def own_device(self, array: Any) -> str:
        return str(tf.DeviceSpec.from_string(array.device).device_type).lower()

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        kind = DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype
        with tf.device(CPU):
            return tf.constant(np.array(array, kind, order="C"))

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array.numpy())


def _tensors(arguments: tuple[Tree, ...]) -> list[Array]:
    return [a for _, a in leaves(arguments) if a is not None]
