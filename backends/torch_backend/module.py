"""A network as an `nn.Module`: its parameters under the specification's names, its gradients by the derived adjoint.

Held to `Path.FRAMEWORK`, PyTorch differentiates the lowering itself, as often and in whichever mode it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from backends.torch_backend.packing import alike, side_by_side
from rnnspec import stack, validation
from rnnspec.arrays import Array
from rnnspec.capabilities import DTYPES
from rnnspec.errors import UnsupportedError
from rnnspec.kernel import Path
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, filled, flat, flat_as

if TYPE_CHECKING:
    from backends.torch_backend.backend import TorchBackend

__all__ = ["NetworkModule"]

MadeBy = tuple[Callable[[str, str], "TorchBackend"], str, Path | None, bool, int | None]
"""The class of a backend, and its precision, path and segments."""

PRECISIONS = {getattr(torch, dtype): name for name, dtype in reversed(DTYPES.items())}


class Branch(nn.Module):  # type: ignore[misc]  # PyTorch's types are not read
    """A branch of the tree of parameters. Names go into the module's tables as they are: one of them is `forward`.

    Maps that a kernel reads as one lie side by side, after a move or a copy too.
    """

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if isinstance(value, torch.Tensor):
                self._parameters[str(name)] = nn.Parameter(value.detach().clone())
            else:
                self._modules[str(name)] = Branch(value)
        self._lay_together()

    def _lay_together(self) -> None:
        maps = list(self._parameters.values())
        shared = any(a.device.type == "cpu" and a.is_shared() for a in maps)  # with other processes, which stay
        if alike(maps) and not shared:
            for parameter, beside in zip(maps, side_by_side([a.detach() for a in maps]), strict=True):
                parameter.data = beside

    def _apply(self, function: Callable[[Array], Array], recurse: bool = True) -> Branch:
        super()._apply(function, recurse)
        self._lay_together()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lay_together()

    @property
    def forward(self) -> Any:
        """The half that runs forward; a branch is never called."""
        return self.__getattr__("forward")

    def first(self) -> Array:
        """One of the parameters, all of which have one dtype and are on one device."""
        for parameter in self._parameters.values():
            return parameter
        return next((found for branch in self._modules.values() if (found := branch.first()) is not None), None)

    def tree(self, model: Tree) -> Tree:
        """The parameters as the tree that the network declares; its innermost branches are the module's own tables."""
        if isinstance(model, list):
            return [self._modules[str(i)].tree(part) for i, part in enumerate(model)]
        if any(isinstance(part, dict | list) for part in model.values()):
            return {name: self._modules[name].tree(part) for name, part in model.items()}
        return self._parameters if self._parameters.keys() == model.keys() else self._computed(model)

    def _computed(self, model: Tree) -> Tree:
        """The maps where some are computed from other parameters, as those of `parametrize` and `prune` are."""
        for hook in self._forward_pre_hooks.values():
            hook(self, None)
        return {name: getattr(self, name) for name in model}


class NetworkModule(Branch):
    """A network as a layer of PyTorch, made by `backend.as_layer(net)`.

    `named_parameters` and `state_dict` have the specification's names, `layers.0.forward.W.i` and so on; a file that
    rnnspec saved holds the same. The first numbers are `params`, or `net.init(seed)`. Called with inputs (time, batch,
    feature), or (batch, time, feature) with `batch_first`, a state or None and lengths or None, it returns outputs, in
    the layout of the inputs, and the final state. `to(dtype)` and `to(device)` choose the backend that runs it.
    """

    def __init__(
        self, backend: TorchBackend, net: Network, *, params: Tree = None, seed: int = 0, batch_first: bool = False
    ) -> None:
        super().__init__(backend.asarray(net.init(seed) if params is None else params))
        self.net, self.batch_first = net, batch_first
        self._made_by: MadeBy = type(backend), backend.precision, backend.path, backend.recomputes, backend.every

    def backend(self) -> TorchBackend:
        """What runs the module, by the dtype and device of its parameters."""
        parameter = self.first()
        return _backend(self._made_by, parameter.device, parameter.dtype)

    def forward(self, inputs: Array, state: Tree = None, lengths: Array | None = None) -> tuple[Array, Tree]:
        """Outputs and the final state. A compiled model calls it as it is, since it runs a program of its own."""
        if torch.compiler.is_compiling():
            disabled: Any = torch.compiler.disable(self._eager)
            return disabled(inputs, state, lengths)  # type: ignore[no-any-return]
        return self._eager(inputs, state, lengths)

    def _eager(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]:
        net = self.net
        params, backend = self.tree(net.parameter_shapes()), self.backend()
        given = inputs.swapaxes(0, 1) if self.batch_first else inputs
        own, x, first, ends = validation.arguments(backend, "as_layer(net)", net, params, given, state, lengths)
        with backend.math_mode():
            outputs, final = _apply(backend, net, own, x, first, ends)
        turned = self.batch_first and not isinstance(net.read, Last)
        return outputs.transpose(0, 1) if turned else outputs, final

    def extra_repr(self) -> str:
        return repr(self.net)


@lru_cache(maxsize=16)
def _backend(made_by: MadeBy, device: torch.device, dtype: torch.dtype) -> TorchBackend:
    kind, precision, path, recomputes, every = made_by
    known = getattr(torch, DTYPES[precision]) == dtype
    opened = kind(str(device), precision if known else PRECISIONS[dtype])
    held = opened if path is None else opened.through(path)
    return held.recomputing(every) if recomputes else held


def _apply(
    backend: TorchBackend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None
) -> tuple[Array, Tree]:
    arrays = flat((params, inputs, state)) if torch.is_grad_enabled() else []
    if backend.path is Path.FRAMEWORK or not any(a.requires_grad for a in arrays):
        return stack.forward(backend, net, params, inputs, state, lengths, pullback=False)[:2]
    if torch._C._are_functorch_transforms_active():
        raise UnsupportedError("as_layer(net)", "torch.func must be able to differentiate what it transforms",
                               "the derived adjoint, which is a function of its own",
                               "use backend.through(rnnspec.Path.FRAMEWORK).as_layer(net)")  # fmt: skip
    outputs, *final = _Derived.apply(_Run(backend, net, params, inputs, state, lengths), *arrays)
    return outputs, filled(state, final)


class _Run:
    """One run of a network, and its pullback."""

    def __init__(
        self, backend: TorchBackend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None
    ) -> None:
        self.backend, self.net, self.params, self.state = backend, net, params, state
        self.inputs, self.lengths = inputs, lengths

    def forward(self) -> list[Array]:
        """Copies of the outputs and of the leaves of the final state; the originals stay on the tape."""
        outputs, final, self.tape = stack.forward(
            self.backend, self.net, self.params, self.inputs, self.state, self.lengths, pullback=True
        )
        return [outputs.clone(), *(leaf.clone() for leaf in flat_as(self.state, final))]

    def backward(self, cotangents: Any) -> list[Array]:
        """The cotangents of the parameters, the inputs and the state."""
        final = filled(self.state, cotangents[1:])
        with self.backend.math_mode():
            found = stack.backward(self.backend, self.net, self.params, self.tape, cotangents[0], final)
        return flat_as((self.params, self.inputs, self.state), found)


class _Derived(torch.autograd.Function):  # type: ignore[misc]
    """A network whose pullback is the derived adjoint.

    The arrays are those of the run; they are saved so that PyTorch finds out where one was changed in between.
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
    """The pullback, which has no derivative: it depends on all it is given, so that asking for one is an error."""

    @staticmethod
    def forward(ctx: Any, run: _Run, count: int, *arrays: Array) -> tuple[Array, ...]:
        return tuple(run.backward(arrays[:count]))

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> Any:
        raise UnsupportedError("as_layer(net)", "the derived adjoint must be differentiated once",
                               "a derivative of a derivative",
                               "use backend.through(rnnspec.Path.FRAMEWORK).as_layer(net)")  # fmt: skip
