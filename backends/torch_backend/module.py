"""A network as an `nn.Module`: its parameters under the specification's names, its gradients by the derived adjoint.

Held to `Path.FRAMEWORK`, PyTorch differentiates the lowering itself, as often and in whichever mode it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rnnspec import stack, validation
from rnnspec.arrays import Array
from rnnspec.capabilities import DTYPES
from rnnspec.errors import UnsupportedError
from rnnspec.kernel import Path
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, flat, tree_map

if TYPE_CHECKING:
    from backends.torch_backend.backend import TorchBackend

__all__ = ["NetworkModule"]

PRECISIONS = {getattr(torch, dtype): name for name, dtype in reversed(DTYPES.items())}


class Branch(nn.Module):  # type: ignore[misc]  # PyTorch's types are not read
    """A branch of the tree of parameters. Names go into the module's tables as they are: one of them is `forward`."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if isinstance(value, torch.Tensor):
                self._parameters[str(name)] = nn.Parameter(value.detach().clone())
            else:
                self._modules[str(name)] = Branch(value)

    @property
    def forward(self) -> Any:
        """The half that runs forward; a branch is never called."""
        return self.__getattr__("forward")

    def tree(self, model: Tree) -> Tree:
        """The parameters as the tree that the network declares."""
        if isinstance(model, list):
            return [self._modules[str(i)].tree(part) for i, part in enumerate(model)]
        return {
            name: self._parameters[name] if name in self._parameters else self._modules[name].tree(part)
            for name, part in model.items()
        }


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
        self._made_by: tuple[Callable[[str, str], TorchBackend], str, Path | None] = (
            type(backend), backend.precision, backend.path)  # fmt: skip

    def backend(self) -> TorchBackend:
        """What runs the module, by the dtype and device of its parameters."""
        return self._backend_for(next(self.parameters()))

    def _backend_for(self, parameter: Array) -> TorchBackend:
        kind, precision, path = self._made_by
        known = getattr(torch, DTYPES[precision]) == parameter.dtype
        return _backend(kind, str(parameter.device), precision if known else PRECISIONS[parameter.dtype], path)

    def forward(self, inputs: Array, state: Tree = None, lengths: Array | None = None) -> tuple[Array, Tree]:
        """Outputs and the final state. A compiled model calls it as it is, since it runs a program of its own."""
        if torch.compiler.is_compiling():
            disabled: Any = torch.compiler.disable(self._eager)
            return disabled(inputs, state, lengths)  # type: ignore[no-any-return]
        return self._eager(inputs, state, lengths)

    def _eager(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]:
        net = self.net
        params = self.tree(net.parameter_shapes())
        backend = self._backend_for(flat(params)[0])
        given = inputs.transpose(0, 1) if self.batch_first else inputs
        own, x, first, ends = validation.arguments(backend, "as_layer(net)", net, params, given, state, lengths)
        with backend.math_mode():
            outputs, final = _apply(backend, net, own, x, first, ends)
        turned = self.batch_first and not isinstance(net.read, Last)
        return outputs.transpose(0, 1) if turned else outputs, final

    def extra_repr(self) -> str:
        return repr(self.net)


@lru_cache(maxsize=16)
def _backend(kind: Callable[[str, str], TorchBackend], device: str, precision: str, path: Path | None) -> TorchBackend:
    opened = kind(device, precision)
    return opened if path is None else opened.through(path)


def _apply(
    backend: TorchBackend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None
) -> tuple[Array, Tree]:
    arrays = flat((params, inputs, state)) if torch.is_grad_enabled() else []
    if backend.path is Path.FRAMEWORK or not any(a.requires_grad for a in arrays):
        return stack.forward(backend, net, params, inputs, state, lengths, pullback=False)[:2]
    ran = _Ran(backend, net, (params, inputs, state), lengths)
    outputs, *final = _Derived.apply(ran, *arrays)
    return outputs, _filled(state, final)


def _filled(model: Tree, found: Iterable[Array]) -> Tree:
    """The tree of a model with other leaves, in the order of `flat`."""
    leaves = iter(found)
    return tree_map(lambda _: next(leaves), model)


def _flat_as(model: Tree, tree: Tree) -> list[Array]:
    """The leaves of a tree in the order of the model's: a tree's own order means nothing."""
    return flat(tree_map(lambda _, leaf: leaf, model, tree))


class _Ran:
    """One run of a network, and its pullback."""

    def __init__(self, backend: TorchBackend, net: Network, model: Tree, lengths: Array | None) -> None:
        self.backend, self.net, self.lengths = backend, net, lengths
        self.model = tree_map(lambda _: None, model)

    def forward(self, arrays: Any) -> list[Array]:
        """Copies of the outputs and of the leaves of the final state; the originals stay on the tape."""
        params, inputs, state = _filled(self.model, [a.detach() for a in arrays])
        outputs, final, self.tape = stack.forward(self.backend, self.net, params, inputs, state, self.lengths, True)
        return [outputs.clone(), *(leaf.clone() for leaf in _flat_as(self.model[2], final))]

    def backward(self, arrays: Any, cotangents: Any) -> list[Array]:
        """The cotangents of the arrays."""
        params, _, _ = _filled(self.model, arrays)
        state = _filled(self.model[2], cotangents[1:])
        with self.backend.math_mode():
            found = stack.backward(self.backend, self.net, params, self.tape, cotangents[0], state)
        return _flat_as(self.model, found)


class _Derived(torch.autograd.Function):  # type: ignore[misc]
    """A network whose pullback is the derived adjoint."""

    @staticmethod
    def forward(ctx: Any, ran: _Ran, *arrays: Array) -> tuple[Array, ...]:
        ctx.ran = ran
        ctx.save_for_backward(*arrays)
        return tuple(ran.forward(arrays))

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        if not torch.is_grad_enabled():
            return None, *ctx.ran.backward(ctx.saved_tensors, cotangents)
        return None, *_Pulled.apply(ctx.ran, len(cotangents), *cotangents, *ctx.saved_tensors)


class _Pulled(torch.autograd.Function):  # type: ignore[misc]
    """The pullback, which has no derivative: it depends on all it is given, so that asking for one is an error."""

    @staticmethod
    def forward(ctx: Any, ran: _Ran, count: int, *arrays: Array) -> tuple[Array, ...]:
        return tuple(ran.backward(arrays[count:], arrays[:count]))

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> Any:
        raise UnsupportedError("as_layer(net)", "the derived adjoint must be differentiated once",
                               "a derivative of a derivative",
                               "use backend.through(rnnspec.Path.FRAMEWORK).as_layer(net)")  # fmt: skip
