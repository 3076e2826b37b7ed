"""An exported Python file, run as its users run it: imported, and called."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from rnnspec.export import to_numpy
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["NumpyProgram", "numpy_program"]

Array = Any


class NumpyProgram:
    """The module of an exported file."""

    def __init__(self, source: bytes) -> None:
        self.module = ModuleType("exported")
        exec(compile(source, "exported.py", "exec"), vars(self.module))

    def run(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]:
        """As `Program.run`."""
        outputs, final = self.module.run(inputs, state, lengths)
        return outputs, final


def numpy_program(net: Network, params: Tree, precision: str) -> NumpyProgram:
    """The program of a network."""
    return NumpyProgram(to_numpy(net, params, precision=precision).main)
