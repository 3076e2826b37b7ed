"""A network as an `nn.Module`: parameters have the network's names, gradients are those of the derived adjoint.

With `backend.through(Path.FRAMEWORK)` PyTorch differentiates the lowering itself, to any order and in any mode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from backends.torch_backend.branch import Branch
from backends.torch_backend.math_mode import math_mode
from backends.torch_backend.stream import NetworkStream
from backends.torch_backend.tracing import (
    check_closed,
    is_traced,
    is_transformed,
    is_watched,
    refuse_dynamic,
    refuse_script,
    refuse_strict,
    refuse_whole,
)
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Path
from rnnspec.errors import ArgumentError, ShapeError, UnsupportedError
from rnnspec.interface import validation
from rnnspec.interface.adoption import check_array
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.output import Last
from rnnspec.running import stack
from rnnspec.running.beginning import begun
from rnnspec.showing import shown
from rnnspec.tree import Tree, filled, flat, flat_as, tree_map

__all__ = ["NetworkModule"]

MadeBy = tuple[Callable[[str, str], Backend], str, Path | None, bool, int | None, int | None]
"""The class of a backend, and its precision, path, segments and chunks."""

CALL = "torch.as_layer(net)(...)"

AUTOCAST = (torch.float32, torch.bfloat16, torch.float16)

PRECISIONS = {getattr(torch, dtype): name for name, dtype in reversed(DTYPES.items())}


class NetworkModule(Branch):
    """A network as a layer of PyTorch, made by `backend.as_layer(net)`.

    `state_dict` has the network's names, `layers.0.forward.W.i` and so on, as in a file of `rnnspec.save`. Parameters
    start as `params`, or as `net.init(seed)`. Call it with inputs (time, batch, feature), with `batch_first` (batch,
    time, feature), and optionally a state, lengths, and resets (time, batch) or (batch, time), true where a step starts
    from zeros; class numbers have no axis of features. It returns outputs in the layout of the inputs, and the final
    state. `to(dtype)` and `to(device)` choose the backend that runs it. In training mode a network with noise has it,
    with the seed of a `key`, or one from PyTorch's generator; after `eval()` it has none, unless a key is given.
    """

    def __init__(
        self, backend: Backend, net: Network, *, params: Tree = None, seed: int = 0, batch_first: bool = False
    ) -> None:
        super().__init__(backend.asarray(net.init(seed) if params is None else params))
        self.net, self.batch_first = net, batch_first
        self._made_by: MadeBy = (type(backend), backend.precision, backend.path, backend.recomputes, backend.every,
                                 backend.chunk)  # fmt: skip

    def backend(self) -> Backend:
        """What runs the module, by the dtype and device of its parameters."""
        parameter = self.first()
        return _backend(self._made_by, parameter.device, parameter.dtype)

    def stream(self) -> NetworkStream:
        """A module of the same parameters that keeps its state between calls, and begins anew.

        Raises UnsupportedError where a layer is not forward.
        """
        return NetworkStream(self)

    def __prepare_scriptable__(self) -> Any:
        """Raises UnsupportedError: `torch.jit.script` asks each module for what it shall read in its place."""
        refuse_script()

    def forward(
        self, inputs: Array, state: Tree = None, lengths: Array | None = None, resets: Array | None = None,
        key: Key | None = None,
    ) -> tuple[Array, Tree]:
        """Outputs and the final state. A compiled model calls it as it is, since it runs a program of its own."""
        if torch.compiler.is_compiling():
            if not torch.compiler.is_exporting():
                refuse_whole()
                disabled: Any = torch.compiler.disable(self._eager)
                return disabled(inputs, state, lengths, resets, key)  # type: ignore[no-any-return]
            if torch.compiler.is_dynamo_compiling():
                refuse_strict()
        return self._eager(inputs, state, lengths, resets, key)

    def _eager(
        self, inputs: Any, state: Tree, lengths: Array | None, resets: Any, key: Key | None
    ) -> tuple[Any, Tree]:
        if resets is not None and self.batch_first:
            check_array(self.backend(), CALL, "resets", resets)
            resets = resets.swapaxes(0, 1) if len(resets.shape) > 1 else resets
        if isinstance(inputs, PackedSequence):
            return self._packed(inputs, state, lengths, resets, key)
        if not self.batch_first:
            return self._run(inputs, state, lengths, resets, key)
        check_array(self.backend(), CALL, "inputs", inputs)
        turned = inputs.swapaxes(0, 1) if len(inputs.shape) > 1 else inputs
        outputs, final = self._run(turned, state, lengths, resets, key)
        return outputs if isinstance(self.net.read, Last) else outputs.transpose(0, 1), final

    def _packed(
        self, packed: PackedSequence, state: Tree, lengths: Array | None, resets: Array | None, key: Key | None
    ) -> tuple[Any, Tree]:
        """Run a packed sequence in the caller's order of rows, as states and resets are, and pack the outputs alike."""
        if lengths is not None:
            raise ArgumentError(CALL, "lengths must be None where inputs are packed", type(lengths).__name__,
                                "leave lengths out: a packed sequence has its own")  # fmt: skip
        padded, ends = pad_packed_sequence(packed)
        outputs, final = self._run(padded, state, None if (ends == len(padded)).all() else ends, resets, key)
        if isinstance(self.net.read, Last):
            return outputs, final
        order = slice(None) if packed.sorted_indices is None else packed.sorted_indices
        data = pack_padded_sequence(outputs[:, order], ends[order]).data
        return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), final

    def _run(
        self, inputs: Array, state: Tree, lengths: Array | None, resets: Array | None, key: Key | None
    ) -> tuple[Array, Tree]:
        _check_gathered(self.first())
        net, backend, hidden = self.net, self.backend(), False
        params = self.tree(net.parameter_shapes())
        if torch.is_autocast_enabled(backend.device.partition(":")[0]):
            inputs, state = tree_map(partial(_cast, self.first().dtype), (inputs, state))
        if is_watched():
            if backend.path is not Path.FRAMEWORK:
                check_closed((params, inputs, state))
            if is_traced():
                refuse_dynamic(inputs)
                if state is None:  # a trace serves other batches too
                    state = begun(backend.arrays, net, params, net.unset_state(inputs.shape[1], self.first().new_zeros),
                                  inputs.shape[1])  # fmt: skip
            hidden = is_traced() or is_transformed()
        unread, unseen = (hidden and isinstance(a, torch.Tensor) for a in (lengths, resets))
        own, x, first, ends, again = validation.arguments(backend, "as_layer(net)", net, params, inputs, state,
                                                          None if unread else lengths,
                                                          resets=None if unseen else resets)  # fmt: skip
        ends = _as_given(lengths, x.shape[1]) if unread else ends
        again = _marked(resets, x) if unseen else again
        noise = validation.noise(backend, "as_layer(net)", net, x, self._key(key))
        with math_mode(backend.device, backend.precision):
            first = begun(backend.arrays, net, own, first, x.shape[1])
            return _apply(backend, net, own, x, first, ends, again, *noise)

    def _key(self, given: Key | None) -> Key | None:
        """The key of a call: as given, or in training mode one from PyTorch's generator."""
        if given is not None or not (self.training and self.net.has_noise):
            return given
        if is_traced():
            raise UnsupportedError(CALL, "a network with noise must be traced without it", "training mode",
                                   "call eval() before, or give a key")  # fmt: skip
        return Key(int(torch.randint(2**63 - 1, ())))

    def extra_repr(self) -> str:
        return repr(self.net)


@lru_cache(maxsize=16)
def _backend(made_by: MadeBy, device: torch.device, dtype: torch.dtype) -> Backend:
    kind, precision, path, recomputes, every, chunk = made_by
    known = getattr(torch, DTYPES[precision]) == dtype
    opened = kind(str(device), precision if known else PRECISIONS[dtype])
    held = opened if path is None else opened.through(path)
    held = held if chunk is None else held.chunking(chunk)
    return held.recomputing(every) if recomputes else held


def _apply(
    backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None, noise: Tree = None,
) -> tuple[Array, Tree]:
    if backend.path is Path.FRAMEWORK:
        return stack.forward(backend, net, params, inputs, state, lengths, resets, noise, pullback=False)[:2]
    arrays = flat((params, inputs, state)) if torch.is_grad_enabled() else []
    if not any(a.requires_grad for a in arrays):
        return stack.forward(backend, net, params, inputs, state, lengths, resets, noise, pullback=False)[:2]
    outputs, *final = _Derived.apply(_Run(backend, net, params, inputs, state, lengths, resets, noise), *arrays)
    return outputs, filled(state, final)


def _check_gathered(parameter: Any) -> None:
    """Raise UnsupportedError where a parameter is in shards while the module runs."""
    loaded = sys.modules.get("torch.distributed.tensor")  # where it is not loaded, nothing is in shards
    if loaded is not None and isinstance(parameter, loaded.DTensor):
        raise UnsupportedError(CALL, "parameters must be gathered when the module runs", "a DTensor",
                               "call fully_shard on the module, not on a branch of it; to gather layer by layer, make "
                               "a module of each layer")  # fmt: skip


def _cast(dtype: torch.dtype, a: Any) -> Any:
    """The tensor cast to the dtype of the parameters, as an autocast does with numbers of at most 32 bits."""
    return a.to(dtype) if isinstance(a, torch.Tensor) and a.dtype in AUTOCAST else a


def _as_given(lengths: Any, batch: int) -> Array:
    """Lengths whose numbers cannot be read, and so are not validated."""
    if lengths.is_floating_point() or lengths.shape != (batch,):
        raise ShapeError(CALL, f"lengths must be a tensor of whole numbers, of the shape ({batch},)", shown(lengths),
                         "give one number for each row")  # fmt: skip
    return lengths.to(torch.int32)


def _marked(resets: Any, inputs: Array) -> Array:
    """Resets whose numbers cannot be read."""
    if resets.dtype is not torch.bool or resets.shape != inputs.shape[:2]:
        raise ShapeError(CALL, "resets must be a tensor of true and false, one for each step of each row",
                         shown(resets), "give them as (time, batch), with batch_first as (batch, time)")  # fmt: skip
    return resets


class _Run:
    """One run of a network, and its pullback."""

    def __init__(
        self, backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
        resets: Array | None, noise: Tree,
    ) -> None:
        self.backend, self.net, self.params, self.state = backend, net, params, state
        self.inputs, self.lengths, self.resets, self.noise = inputs, lengths, resets, noise

    def forward(self) -> list[Array]:
        """Copies of the outputs and of the leaves of the final state; the originals stay on the tape."""
        outputs, final, self.tape = stack.forward(
            self.backend, self.net, self.params, self.inputs, self.state, self.lengths, self.resets, self.noise,
            pullback=True,
        )
        return [outputs.clone(), *(leaf.clone() for leaf in flat_as(self.state, final))]

    def backward(self, cotangents: Any) -> list[Array]:
        """The cotangents of the parameters, the inputs and the state."""
        final = filled(self.state, cotangents[1:])
        with math_mode(self.backend.device, self.backend.precision):
            found = stack.backward(self.backend, self.net, self.params, self.tape, cotangents[0], final)
        return flat_as((self.params, self.inputs, self.state), found)


class _Derived(torch.autograd.Function):  # type: ignore[misc]
    """A network whose pullback is the derived adjoint.

    The arrays of the run are saved, so that PyTorch detects where one is changed before the pullback.
    """

    @staticmethod
    def forward(ctx: Any, run: _Run, *arrays: Array) -> tuple[Array, ...]:
        ctx.run = run
        ctx.save_for_backward(*arrays)
        return tuple(run.forward())

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        arrays = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return None, *ctx.run.backward(cotangents)
        return None, *_Pulled.apply(ctx.run, len(cotangents), *cotangents, *arrays)


class _Pulled(torch.autograd.Function):  # type: ignore[misc]
    """The pullback, which depends on all its arguments and has no derivative, so that asking for one is an error."""

    @staticmethod
    def forward(ctx: Any, run: _Run, count: int, *arrays: Array) -> tuple[Array, ...]:
        return tuple(run.backward(arrays[:count]))

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> Any:
        raise UnsupportedError("as_layer(net)", "a network must be differentiated once only on this path",
                               "a second derivative",
                               "use backend.through(rnnspec.Path.FRAMEWORK).as_layer(net)")  # fmt: skip
