"""XLA as a kernel of TensorFlow: a layer's loop is one XLA program, and its pullback another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_optimization_barrier

from backends.planning.phases import apart, under_xla
from backends.tensorflow_backend.arrays import TensorflowArrays
from backends.tensorflow_backend.quiet import quiet
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Call, Kernel, run_layer
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.derivation.schedule import Schedule, widest
from rnnspec.interface.backend import Backend
from rnnspec.running import padding
from rnnspec.running.lowering import Trace, backward, forward
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["XlaArrays", "XlaKernel", "XlaParallel", "start"]


SEVERAL = 2
"""The number of arguments of recurrent maps from which on packs are slower, since XLA cannot add them as one."""


class XlaArrays(TensorflowArrays):
    """Tensors within an XLA program."""

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        """The product, with maps transposed once before the loop, which is faster for several rows."""
        if rows == 1:
            return super().projection(maps, rows)
        (laid_out,) = xla_optimization_barrier(input=[tf.linalg.matrix_transpose(maps)])
        return lambda a: self.matmul(a, laid_out)


class XlaKernel:
    """The lowering of a layer, compiled by XLA; call it while a graph is traced, with known sizes."""

    def __init__(self, backend: Backend) -> None:
        self.arrays = XlaArrays(DTYPES[backend.precision])
        start(self.arrays.dtype)
        self.backend = backend

    def plan(self, cell: Cell, rows: int, width: int) -> Schedule:
        """As `under_xla`, but for several rows maps of several arguments are always separate products."""
        plan = self.backend.plan(cell, rows, width)
        several = rows > 1 and len(plan.recurrent_packs) >= SEVERAL
        return apart(plan) if several else under_xla(plan, rows, width)

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run one layer in one direction, in processing order."""
        arrays, plan = self.arrays, self.plan(cell, call.batch, widest(state))
        mask = padding.mask(arrays, inputs.shape[0], lengths)

        def run(
            params: Tree, inputs: Array, state: Tree, mask: Array | None, resets: Resets | None
        ) -> tuple[Array, Tree, Tree]:
            outputs, final, trace = forward(arrays, plan, params, inputs, state, mask, resets)
            return outputs, final, trace.values if call.pullback else {}

        outputs, final, values = _compiled(run)(params, inputs, state, mask, resets)
        return LayerResult(outputs, final, "native (XLA)", Trace(values, inputs, mask, resets))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""
        arrays, plan, saved = self.arrays, self.plan(cell, call.batch, widest(state_cotangent)), result.saved

        def pull(
            params: Tree, values: Tree, inputs: Array, mask: Array | None, resets: Resets | None, outputs: Array,
            state: Tree,
        ) -> tuple[Tree, Array, Tree]:
            return backward(arrays, plan, params, Trace(values, inputs, mask, resets), outputs, state, call.policy)

        given = (params, saved.values, saved.inputs, saved.mask, saved.resets, output_cotangent, state_cotangent)
        return Gradients(*_compiled(pull)(*given))


class XlaParallel:
    """A kernel in parallel over time as one XLA program, and its pullback, which runs it again, as another."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run one layer in one direction, in processing order."""
        path, part = [""], replace(call, pullback=False)

        def run(params: Tree, inputs: Array, state: Tree, lengths: Array | None, resets: Resets | None) -> Tree:
            found = run_layer(self.kernel, cell, params, inputs, state, lengths, part, resets)
            path[0] = found.path
            return found.outputs, found.state

        given = (inputs, state, lengths, resets)
        outputs, final = _compiled(run)(params, *given)
        return LayerResult(outputs, final, path[0], given)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""

        def pull(
            params: Tree, inputs: Array, state: Tree, lengths: Array | None, resets: Resets | None, outputs: Array,
            last: Tree,
        ) -> tuple[Tree, Array, Tree]:
            again = run_layer(self.kernel, cell, params, inputs, state, lengths, call, resets)
            found = self.kernel.layer_pullback(cell, params, again, outputs, last, call)
            return found.params, found.inputs, found.state

        return Gradients(*_compiled(pull)(params, *result.saved, output_cotangent, state_cotangent))


@cache
def start(dtype: tf.DType) -> None:
    """Compile something once in a process, since XLA, and oneDNN in 16 bits, report their start on standard error.

    On some processors oneDNN does so at its first operation, even outside of a function.
    """
    with quiet(), tf.init_scope():
        tf.function(lambda a: _compiled(tf.tanh)(tf.tanh(a)), autograph=False)(tf.zeros(1, dtype))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, autograph=False, jit_compile=True)  # type: ignore[no-any-return]
