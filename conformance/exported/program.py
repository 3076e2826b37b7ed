"""An exported network that runs, and the table of what opens one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from conformance.exported.c_program import c_program
from conformance.exported.numpy_program import numpy_program
from conformance.exported.onnx_program import onnx_program
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["KINDS", "Kind", "Program"]

Array = Any


class Program(Protocol):
    """An exported network with its weights, in one precision."""

    def run(self, inputs: Array, state: Tree | None, lengths: Array | None) -> tuple[Array, Tree]:
        """The outputs and the final state, as `Backend.run` has them.

        Arrays are NumPy's in the precision. `state` is a tree, or None where every row begins as the network does. What
        stands after a row's end may be NaN. There may be no step, and no row.
        """
        ...


@dataclass(frozen=True)
class Kind:
    """What a network is exported to: `opened(net, params, precision)` exports it, and gives what runs it.

    `lacks` are the capabilities that it does not have; `is_compiled` says that another network costs a program.
    """

    opened: Callable[[Network, Tree, str], Program]
    precisions: tuple[str, ...] = ("f32", "f64")
    lacks: tuple[str, ...] = ()
    is_compiled: bool = False


KINDS = {
    "numpy": Kind(numpy_program),
    "c": Kind(c_program, lacks=("concurrent",), is_compiled=True),
    "onnx": Kind(onnx_program),
}
"""The kinds by the name that `--exported` takes. One that needs a library imports it within its function."""
