"""The PyTorch backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backends.torch_backend.arrays import TorchArrays
from rnnspec.arrays import Array, Arrays
from rnnspec.backend import Backend
from rnnspec.capabilities import DTYPES, Capabilities
from rnnspec.errors import UnsupportedError
from rnnspec.tree import Tree

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """PyTorch, eager: no gradient tape is read or written, gradients are the derived adjoint.

    Raises UnsupportedError where `device` is "cuda" and there is none.
    """

    name = "torch"
    version = torch.__version__
    capabilities = Capabilities(devices=("cpu", "cuda"))

    def make_arrays(self) -> Arrays:
        if self.device.split(":")[0] == "cuda" and not torch.cuda.is_available():
            raise UnsupportedError(f"get_backend('torch', device={self.device!r})", "the device must be there",
                                   "no CUDA device that this build of PyTorch can use",
                                   "choose 'cpu', or install a CUDA build of PyTorch")  # fmt: skip
        return TorchArrays(getattr(torch, DTYPES[self.precision]), self.device)

    def program(self, function: Callable[..., tuple[Tree, Tree]], *constants: Any) -> Callable[..., tuple[Tree, Tree]]:
        def eager(*arrays: Tree) -> tuple[Tree, Tree]:
            with torch.no_grad():
                return function(self, *constants, *arrays)

        return eager

    def is_own(self, array: Any) -> bool:
        return isinstance(array, torch.Tensor)

    def own_dtype(self, array: Any) -> str:
        return str(array.dtype).removeprefix("torch.")

    def own_device(self, array: Any) -> str:
        return str(array.device)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        kind = DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype
        return torch.from_numpy(np.array(array, kind, order="C")).to(self.device)

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array.detach().cpu().numpy())
