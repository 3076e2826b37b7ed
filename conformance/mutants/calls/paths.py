"""Faults with the path that runs a layer: kernels that are wrong, run unasked or not at all, wrong witnesses."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from conformance.mutants.faulty import Asked, Faulty
from rnnspec import Backend, Call, Capabilities, Cell, Gradients, Kernel, LayerResult, Network, Path
from rnnspec.contract.arrays import Array
from rnnspec.contract.resets import Resets
from rnnspec.tree import Tree, tree_map


class _Kernel:
    """The lowering, called a kernel of the framework."""

    label = "native: a kernel"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        result = self.backend.layer(cell, params, inputs, state, lengths, call, resets)
        return replace(result, path=self.label)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        return self.backend.layer_pullback(cell, params, result, output_cotangent, state_cotangent, call)


class _Unnamed(_Kernel):
    label = "generic"


class _Stateless(_Kernel):
    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        zeros = tree_map(lambda a: a * 0, state)
        return super().layer(cell, params, inputs, zeros, lengths, call, resets)


class _WithKernels(Faulty):
    """A backend with kernels."""

    capabilities = Capabilities(paths=(Path.GENERIC, Path.NATIVE))
    kernel: ClassVar[type[_Kernel]] = _Kernel

    def native(self, cell: Cell, call: Call) -> Kernel | str:
        return self.kernel(self) if call.policy is None else "a policy acts in the recurrence"


class FallbackInSecret(_WithKernels):
    """The generic path runs where the backend promised a kernel."""

    kernel = _Unnamed


class KernelForgetsState(_WithKernels):
    """A kernel starts from zeros."""

    kernel = _Stateless


class KernelRunsUnasked(_WithKernels):
    """A backend that must take the generic path runs its kernel."""

    def runner(self, cell: Cell, call: Call) -> Kernel:
        found = self.native(cell, call)
        return self if isinstance(found, str) else found


class LoweringWrongWhenHeld(_WithKernels):
    """The generic path is wrong, and a kernel hides it."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if self.path is not Path.GENERIC:
            return result
        return replace(result, outputs=result.outputs * result.outputs.dtype.type(1.001))


class FrameworkForgetsFinalState(Faulty):
    """The framework's own differentiation leaves out the cotangent of the final state."""

    capabilities = Capabilities(paths=(Path.GENERIC, Path.FRAMEWORK))

    def pullback(
        self, net: Network, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None,
    ) -> Gradients:  # fmt: skip
        if self.path is not Path.FRAMEWORK:
            return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)
        return self.through(Path.GENERIC).pullback(net, params, inputs, output_cotangent, None, state, lengths, resets)
