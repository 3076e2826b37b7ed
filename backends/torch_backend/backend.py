"""The PyTorch backend."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch

from backends.budgets import BUDGETS
from backends.planning.memory import CACHED, keep_freed
from backends.planning.plan import Plan
from backends.planning.planner import plans, widths
from backends.planning.pool import Pool
from backends.planning.streams import Half, PlannedBound
from backends.planning.stretches import STRETCH, Run, Stretch, Stretches
from backends.torch_backend.arrays import TorchArrays
from backends.torch_backend.fusion import forward_only
from backends.torch_backend.group import process_group
from backends.torch_backend.math_mode import math_mode
from backends.torch_backend.module import NetworkModule
from backends.torch_backend.native import chosen
from backends.torch_backend.packing import alike, in_memory, side_by_side
from backends.torch_backend.planned import planned
from backends.torch_backend.products import CHOICES
from backends.torch_backend.program import Program, replay
from backends.torch_backend.quick import QuickArrays
from backends.torch_backend.rows import Rows
from backends.torch_backend.tracing import is_traced, is_transformed, is_watched
from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.capabilities import DTYPES, Capabilities
from rnnspec.contract.fixed import Fixed
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.derivation.schedule import widest
from rnnspec.errors import UnsupportedError
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.running.parallel import Parallel
from rnnspec.running.reading import logits
from rnnspec.running.recomputation import Saved
from rnnspec.running.widening import Widened
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree
from rnnspec.workers.group import Group

__all__ = ["TorchBackend"]


_HALVES = (torch.bfloat16, torch.float16)
_NAMES = {getattr(torch, name): name for name in DTYPES.values()}


SMALL = 1 << 11
"""Up to this number of values of a gate, a call in each step takes longer than the memory that saves it."""

Key = tuple[Plan, int]
"""The plan of a program, and its batch."""


class _Stretch(Stretch[Key]):
    """The kernel of a layer of no more steps than a program has room for."""

    path = "generic"

    def __init__(self, backend: Any, params: Tree) -> None:
        self.backend = backend
        self.idle: Pool[Program] = params.kept(Pool, Pool) if isinstance(params, Fixed) else backend.idle

    def run(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> tuple[Run[Key], Array, Tree]:
        """As the base says."""
        steps, batch, features = inputs.shape
        schedule = self.backend.plan(cell, batch, widest(state))
        sizes = widths(params, state, features)
        small = batch * max(width for _, width in sizes) <= SMALL
        key = planned(schedule if call.pullback else forward_only(schedule), sizes, small), batch
        program, rows = self.program(key, inputs), Rows(steps, lengths)
        outputs, final = program.forward(params, inputs, state, rows)
        return Run(program, key, inputs, rows), outputs, final

    def pull(
        self, cell: Cell, params: Tree, run: Run[Key], output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """As the base says; `Stretches` adds up what stretches give, so that there are no sums."""
        return Gradients(*run.program.backward(params, run.inputs, output_cotangent, state_cotangent, run.rows))

    def program(self, key: Key, inputs: Array) -> Program:
        """An idle program, or a new one; a new one where the inputs' numbers lie nowhere."""
        plan, batch = key
        idle = self.idle.take(key, len(inputs)) if in_memory(inputs) else None
        return idle or Program(plan, len(inputs), batch, inputs.dtype, self.backend.device)

    def give(self, run: Run[Key]) -> None:
        """As the base says; but a program of fake tensors serves nobody else."""
        if in_memory(run.inputs):
            self.idle.give(run.key, run.program)

    def lend(self, run: Run[Key]) -> None:
        """Give back the program once nothing holds the run, which may be pulled back again, or never."""
        if in_memory(run.inputs):
            weakref.finalize(run, self.idle.give, run.key, run.program)


class TorchBound(PlannedBound[Callable[[], Any]]):
    """A bound call of PyTorch programs."""

    def half(self, cell: Cell, params: Fixed, features: int, state: Tree, batch: int) -> Half[Callable[[], Any]]:
        """As the base says."""
        schedule = forward_only(self.backend.plan(cell, batch, widest(state)))
        kind = getattr(torch, DTYPES[self.backend.precision])
        program = Program(planned(schedule, widths(params, state, features)), 1, batch, kind, self.backend.device)
        with torch.set_grad_enabled(False), math_mode(self.backend.device, self.backend.precision):
            return program.half(params, features)

    def copying(self, to: Array, what: Array) -> Callable[[], Any]:
        """As the base says."""
        return partial(to.copy_, what)

    def play(self, calls: Sequence[Callable[[], Any]]) -> None:
        """As the base says."""
        with torch.set_grad_enabled(False):
            replay(calls)

    def outputs(self, calls: Sequence[Callable[[], Any]], last: Array) -> Array:
        """As the base says."""
        with torch.set_grad_enabled(False), math_mode(self.backend.device, self.backend.precision):
            replay(calls)
            if self.net.output:
                return logits(self.backend.arrays, self.net, self._params, last)
            return last.clone(memory_format=torch.contiguous_format)


class TorchBackend(Backend):
    """PyTorch with eager calls and without its autograd: gradients are those of the derived adjoint.

    Products of bf16 and f16 are summed in float32 and rounded. CUDA: not yet run on a GPU.

    Raises UnsupportedError where `device` is "cuda" and there is none.
    """

    scans_from = 256
    binds = TorchBound
    name = "torch"
    version = torch.__version__
    capabilities = Capabilities(precisions=("f32", "f64", "bf16", "f16", "tf32"), devices=("cpu", "cuda"),
                                paths=(Path.GENERIC, Path.PARALLEL, Path.NATIVE, Path.FRAMEWORK), resets=True,
                                recur=True, embedding=True, learned_state=True, budgets=BUDGETS["torch"])  # fmt: skip

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self._dtype, self._device = getattr(torch, DTYPES[precision]), torch.device(self.device)
        self._device_type = self._device.type
        self.choices = tuple(CHOICES.values()) if (self.device, precision) == ("cpu", "f32") else ()
        self.idle = Pool[Program]()
        keep_freed()

    def make_arrays(self) -> Arrays:
        if self.device.split(":")[0] == "cuda" and not torch.cuda.is_available():
            raise UnsupportedError(f"get_backend('torch', device={self.device!r})", "the device must exist",
                                   "no CUDA device that this build of PyTorch can use",
                                   "choose 'cpu', or install a CUDA build of PyTorch")  # fmt: skip
        if self.precision == "tf32" and self.device == "cpu":
            raise UnsupportedError("get_backend('torch', device='cpu', precision='tf32')",
                                   "the device must multiply in TF32", "a CPU",
                                   "choose 'f32', or a CUDA device")  # fmt: skip
        return TorchArrays(getattr(torch, DTYPES[self.precision]), self.device)

    def make_group(self, workers: Any) -> Group:
        """As the base says, and what `torch.distributed` calls a process group."""
        return workers if isinstance(workers, Group) else process_group(workers, self.device)

    def across(self, workers: Any) -> Self:
        """As the base says; the backends that are held keep no process group alive."""
        return super().across(self.make_group(workers))

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run the planned program, or the lowering where there are resets or a policy, or PyTorch differentiates.

        On CUDA the lowering also runs rows of several lengths, since the program would wait for the device.
        """
        waits = lengths is not None and self._device_type != "cpu"
        eager = self.path is Path.FRAMEWORK or call.policy is not None or resets is not None
        if eager or waits or not plans(cell):
            return super().layer(cell, params, inputs, state, lengths, call, resets)
        kernel = _Stretch(self, params)
        if call.steps > STRETCH:
            return self._stretches(kernel).layer(cell, params, inputs, state, lengths, call)
        run, outputs, final = kernel.run(cell, params, inputs, state, lengths, call)
        if call.pullback:
            kernel.lend(run)
            return LayerResult(outputs, final, kernel.path, run)
        kernel.give(run)
        return LayerResult(outputs, final, kernel.path)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        kernel, saved = _Stretch(self, params), result.saved
        if isinstance(saved, Run):
            return kernel.pull(cell, params, saved, output_cotangent, state_cotangent, call)
        given = (cell, params, result, output_cotangent, state_cotangent, call)
        if isinstance(saved, Saved):
            return self._stretches(kernel).layer_pullback(*given)
        return super().layer_pullback(*given)

    def _stretches(self, kernel: _Stretch) -> Stretches:
        return Stretches(kernel, self.arrays, STRETCH, self.wide, self.narrow)

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        at_once = 2 * CACHED  # threads share an array
        kind = torch.float32 if self._dtype in _HALVES else self._dtype
        found = super().in_parallel(replace(kernel, arrays=QuickArrays(kind, self.device), at_once=at_once), call)
        return found if kind is self._dtype else Widened(found, self.wide, self.narrow)

    def wide(self, a: Array) -> Array:
        return a.float() if self._dtype in _HALVES else a

    def narrow(self, a: Array) -> Array:
        return a.to(self._dtype)

    def native(self, cell: Cell, call: Call) -> Kernel | str:
        if call.policy is not None:
            return "a policy inside the recurrence, which no kernel of PyTorch has"
        if call.resets:
            return "resets, which no kernel of PyTorch has"
        if call.ragged:
            return "rows of several lengths: a packed sequence of PyTorch has no row of length 0"
        return chosen(cell, self._device_type, self._dtype, self.path is Path.NATIVE)

    def framework_vjp(
        self, function: Callable[..., Tree], *arguments: Tree
    ) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        value, pull = torch.func.vjp(function, *arguments)
        return value, pull

    def program(self, function: Callable[..., tuple[Tree, Tree]], *constants: Any) -> Callable[..., tuple[Tree, Tree]]:
        def eager(*arrays: Tree) -> tuple[Tree, Tree]:
            # set_grad_enabled is quicker to enter and leave than no_grad
            with torch.set_grad_enabled(False), math_mode(self.device, self.precision):
                return function(self, *constants, *arrays)

        return eager

    def as_layer(self, net: Network, *, params: Tree = None, seed: int = 0, batch_first: bool = False) -> NetworkModule:
        """The network as an `nn.Module` whose parameters have the specification's names.

        They start as `params`, or as `net.init(seed)` if None. With `batch_first` inputs and outputs are (batch, time,
        feature). Raises ShapeError or TreeError where `params` do not fit.
        """
        return NetworkModule(self, net, params=params, seed=seed, batch_first=batch_first)

    def is_own(self, array: Any) -> bool:
        return isinstance(array, torch.Tensor)

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        """As in `Owner`, but fast, without names: every call checks every parameter."""
        return (
            isinstance(array, torch.Tensor)
            and array.layout is torch.strided
            and not array.is_nested
            and array.shape == shape
            and array.dtype is self._dtype
            and (array.device == self._device or array.device.type == self._device_type)
        )

    def hides(self, array: Any) -> bool:
        return isinstance(array, torch.Tensor) and is_watched() and (is_traced() or is_transformed())

    def own_dtype(self, array: Any) -> str:
        return _NAMES.get(array.dtype, str(array.dtype))

    def own_device(self, array: Any) -> str:
        return str(array.device)

    def own_layout(self, array: Any) -> str:
        if array.is_nested:
            return "nested"
        if array.is_quantized:
            return "quantized"
        return "dense" if array.layout is torch.strided else str(array.layout).removeprefix("torch.").lstrip("_")

    def asarray(self, tree: Tree) -> Tree:
        """As in `Backend`; maps from NumPy are laid out side by side, as the kernels read them."""
        return _laid_out(super().asarray(tree), tree)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        dtype = getattr(torch, DTYPES[self.precision]) if array.dtype.kind == "f" else None
        host = np.array(array, None if dtype in (None, *_HALVES) else DTYPES[self.precision], order="C")
        return torch.from_numpy(host).to(device=self.device, dtype=dtype)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        """A NumPy copy; bfloat16, which NumPy lacks, becomes float32, which is exact."""
        host = array.detach().cpu()
        return np.array((host.float() if host.dtype == torch.bfloat16 else host).numpy())


def _laid_out(own: Tree, given: Tree) -> Tree:
    if isinstance(own, list | tuple):
        return type(own)(_laid_out(part, other) for part, other in zip(own, given, strict=True))
    if not isinstance(own, dict):
        return own
    copied = all(isinstance(a, torch.Tensor) and a is not given[name] for name, a in own.items())
    if copied and alike(own.values()):
        return dict(zip(own, side_by_side(list(own.values())), strict=True))
    return {name: _laid_out(part, given[name]) for name, part in own.items()}
