"""The TensorFlow backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from backends.budgets import BUDGETS
from backends.tensorflow_backend.arrays import TensorflowArrays
from backends.tensorflow_backend.devices import on_devices
from backends.tensorflow_backend.group import StrategyGroup
from backends.tensorflow_backend.sizes import Sized
from backends.tensorflow_backend.xla import XlaArrays, XlaKernel, XlaParallel, start
from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.capabilities import DTYPES, Capabilities
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.results import Gradients, Step
from rnnspec.errors import UnsupportedError
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.interface.bound import Bound
from rnnspec.interface.plugins import unavailable
from rnnspec.network import Network
from rnnspec.running.parallel import Parallel
from rnnspec.running.programs import MOST_KEPT, Function, Program, Programs, is_empty
from rnnspec.running.widening import Widened
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, flat, tree_map
from rnnspec.workers.group import Group

__all__ = ["TensorflowBackend"]

CPU = "/CPU:0"
EAGER = type(tf.constant(0))
"""The class of tensors with numbers, as opposed to tensors of a graph."""


SEVERAL = 2
"""The least devices that rows are spread over."""
LONG = 32
"""The least steps of a layer that XLA compiles, which saves time in every step and takes a second itself."""


class TensorflowBound(Bound):
    """A bound call that looks up its graph by the arguments after the parameters."""

    def program(self, function: Function) -> Program:
        """As the base says."""
        whole, graphs = super().program(function), dict[Any, Program]()
        be: Any = self.backend

        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            key = (tuple(arguments[0].shape.as_list()), *[a is None for a in arguments])
            graph = graphs.get(key)
            if graph is None:
                if len(graphs) >= MOST_KEPT:
                    graphs.clear()
                found = whole(*arguments)
                graphs[key] = be.programs.of(function, (self.net,), (self._params, *arguments))
                return found
            with tf.device(CPU):
                return graph(self._params, *arguments)

        return call


class TensorflowBackend(Backend):
    """TensorFlow on the CPU: one graph per function, network and shapes; `lengths` are data, so they trace nothing.

    XLA compiles the layers of calls with at least 32 steps. Only the shapes decide what runs.
    In bf16 and f16 each operation rounds its result, and products and sums are accumulated in float32.
    """

    binds = TensorflowBound
    name = "tensorflow"
    version = tf.__version__
    chunks_from = 256  # fewer steps do not win back the seconds that their larger program takes to compile
    capabilities = Capabilities(precisions=("f32", "f64", "bf16", "f16"), paths=tuple(Path), resets=True, recur=True,
                                embedding=True, learned_state=True, budgets=BUDGETS["tensorflow"])  # fmt: skip

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        self.programs = Programs(self._compile, _kind)
        self.programs_compiled = 0
        """The number of traced graphs."""
        super().__init__(device, precision)
        self._dtype = tf.as_dtype(DTYPES[precision])
        self._enum = self._dtype.as_datatype_enum
        if self._dtype.size < tf.float32.size:
            start(self._dtype)

    def make_arrays(self) -> Arrays:
        return TensorflowArrays(DTYPES[self.precision])

    def program(self, function: Function, *constants: Any) -> Program:
        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            with tf.device(CPU):
                return self.programs.of(function, constants, arguments)(*arguments)

        return call

    def native(self, cell: Cell, call: Call) -> Kernel | str:
        if not (isinstance(call.steps, int) and isinstance(call.batch, int)):
            return "XLA must know the sizes when a layer is traced"
        if call.steps < LONG and self.path is not Path.NATIVE:
            return f"XLA compiles layers of at least {LONG} steps"
        return XlaKernel(self)

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        start(self._dtype)
        if self._dtype.size >= tf.float32.size:
            return XlaParallel(super().in_parallel(replace(kernel, arrays=XlaArrays(DTYPES[self.precision])), call))
        found = super().in_parallel(replace(kernel, arrays=XlaArrays(tf.float32.name)), call)
        return XlaParallel(Widened(found, self.wide, self.narrow))

    def wide(self, a: Array) -> Array:
        return _cast(a, tf.float32) if self._dtype.size < tf.float32.size else a

    def narrow(self, a: Array) -> Array:
        return _cast(a, self._dtype) if self._dtype.size < tf.float32.size else a

    def framework_vjp(
        self, function: Callable[..., Tree], *arguments: Tree
    ) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        with tf.GradientTape() as tape:
            tape.watch(_tensors(arguments))
            value = function(*arguments)

        def pull(cotangent: Tree) -> tuple[Tree, ...]:
            found = map(tf.convert_to_tensor,  # that of a lookup may be slices
                        tape.gradient(_tensors(value), _tensors(arguments), _tensors(cotangent),
                                      unconnected_gradients=tf.UnconnectedGradients.ZERO))  # fmt: skip
            return tuple(tree_map(lambda _: next(found), each) for each in arguments)

        return value, pull

    def make_group(self, workers: Any) -> Group:
        """The group of a strategy of `tf.distribute`, or a Group as it is."""
        return workers if isinstance(workers, Group) else StrategyGroup(workers, self.device)

    def mean_loss(self, loss_sum: Array, count: Any) -> Array:
        """As the base says; within `strategy.run`, or `fit`, over all replicas, for tensors of a graph.

        Raises UnsupportedError in a graph outside of them, where nothing can be exchanged.
        """
        replica = tf.distribute.get_replica_context() if tf.distribute.has_strategy() else None
        if replica is None and tf.executing_eagerly():
            return super().mean_loss(loss_sum, count)
        if replica is None and self.group is not None and self.group.size > 1:
            raise UnsupportedError(f"{self.name}.mean_loss(loss_sum, count)", "a graph must exchange within a replica",
                                   "a call outside of one", "call it in the function of strategy.run")  # fmt: skip
        own = tf.cast(count, tf.int64)
        total = own if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, own)
        size = 1 if replica is None else replica.num_replicas_in_sync
        return loss_sum * tf.cast(size / tf.maximum(total, 1), loss_sum.dtype)

    def _stepped(self, net: Network, given: tuple[Tree, ...], more: tuple[Tree, ...]) -> Step:
        devices = self.group.devices[: given[1].shape[1]] if isinstance(self.group, StrategyGroup) else ()
        if len(devices) < SEVERAL:
            return super()._stepped(net, given, more)
        (loss_sum, own, x, first, final), _ = self.program(on_devices, net, devices)(*given, *more)
        return Step(loss_sum, validation.count(self, net, given, given[3]), Gradients(own, x, first), final)

    def _compile(self, function: Function, constants: tuple[Any, ...], arguments: tuple[Tree, ...]) -> Program:
        if is_empty(arguments):
            return partial(function, self, *constants)
        given = tree_map(lambda a: a is not None, arguments)
        said: list[tuple[Tree, Tree]] = []

        def traced(*flat: Array) -> list[Array]:
            tensors = iter(flat)
            tree, second = function(self, *constants, *tree_map(lambda there: next(tensors) if there else None, given))
            said[:] = [(tree_map(lambda a: a is not None, tree), second)]
            return _tensors(tree)

        signature = [tf.TensorSpec(a.shape, a.dtype) for a in _tensors(arguments)]
        graph = tf.function(traced, input_signature=signature, autograph=False).get_concrete_function()
        self.programs_compiled += 1
        # Tensors are given in the graph's order where TensorFlow accepts it: binding them by name takes 300 us a call.
        inner = getattr(graph, "inference_fn", None)

        def run(*arguments: Tree) -> tuple[Tree, Tree]:
            given = _tensors(arguments)
            results = iter(inner.call_flat(*given, *graph.captured_inputs) if inner else graph(*given))
            shape, second = said[0]
            return tree_map(lambda there: next(results) if there else None, shape), second

        return run

    def as_layer(self, net: Network, seed: int = 0, **options: Any) -> Any:
        """The network as a Keras layer over (batch, time, feature), with the weights `net.init(seed)`.

        `options` are those of the layer, such as `return_state` and `name`. Raises UnsupportedError where Keras runs on
        another backend than TensorFlow, and BackendUnavailable where Keras is not installed.
        """
        try:
            keras = importlib.import_module("keras")
        except ImportError as error:
            raise unavailable(self.name, error) from error
        if keras.config.backend() != self.name:
            raise UnsupportedError(f"{self.name}.as_layer(net)", "Keras must run on TensorFlow",
                                   f"Keras on {keras.config.backend()}",
                                   "set KERAS_BACKEND=tensorflow before Keras is imported")  # fmt: skip
        layer = importlib.import_module("backends.tensorflow_backend.layer")
        return layer.NetworkLayer(net, self.alone, seed, **options)

    def is_own(self, array: Any) -> bool:
        return isinstance(array, tf.Tensor) and not tf.is_symbolic_tensor(array)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        """As in `Owner`, but fast, without names: every call checks every parameter."""
        return (
            type(array) is EAGER
            and array._datatype_enum() == self._enum
            and tuple(array.shape.as_list()) == shape
            and _device_type(array.device) == self.device
        )

    def own_dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def own_device(self, array: Any) -> str:
        return _device_type(array.device)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        kind = tf.as_dtype(DTYPES[self.precision]) if array.dtype.kind == "f" else tf.as_dtype(array.dtype)
        with tf.device(CPU):
            return tf.constant(np.array(array, kind.as_numpy_dtype, order="C"))

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return _zeros(shape, self._dtype) if tf.executing_eagerly() else super().zeros(shape)

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        found = array.numpy()
        return np.array(found, np.float32 if array.dtype == tf.bfloat16 else found.dtype)


def _cast(a: Array, dtype: tf.DType) -> Array:
    return Sized(tf.cast(a.tensor, dtype)) if isinstance(a, Sized) else tf.cast(a, dtype)


@lru_cache(maxsize=1024)
def _zeros(shape: tuple[int, ...], dtype: tf.DType) -> Array:
    """Cached zeros, which are immutable; making new ones takes 100 us."""
    with tf.device(CPU):
        return tf.zeros(shape, dtype)


@lru_cache(maxsize=64)
def _device_type(device: str) -> str:
    return str(tf.DeviceSpec.from_string(device).device_type).lower()


def _kind(array: Array) -> tuple[Any, ...]:
    """An array's shape and dtype, without their names."""
    return (*array.shape.as_list(), array._datatype_enum() if type(array) is EAGER else array.dtype.as_datatype_enum)


def _tensors(tree: Tree) -> list[Array]:
    return [a for a in flat(tree) if a is not None]
