"""An exported network as a backend without gradients: it is exported, and what was written runs.

Nothing is emulated but resets: each part between them is a sequence of its own, which is what a user would call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.exported.beginning import beginning, is_beginning
from conformance.exported.parts import in_parts
from conformance.exported.program import KINDS, Kind, Program
from rnnspec import Backend, Capabilities, Network, __version__
from rnnspec.contract.capabilities import DTYPES
from rnnspec.errors import UnsupportedError
from rnnspec.output import Last, Steps
from rnnspec.running import execution
from rnnspec.tree import Tree, leaves

__all__ = ["PREFIX", "ExportedBackend", "is_exported", "load"]

Array = Any
PREFIX = "exported:"
"""What the name of such a backend begins with; the kind follows."""


def is_exported(name: str) -> bool:
    """Whether a name is that of an exported network."""
    return name.startswith(PREFIX)


def load(name: str, precision: str, device: str | None = None) -> ExportedBackend:
    """The backend of a name; raises UnsupportedError where the kind lacks the precision."""
    return ExportedBackend(name, KINDS[name.removeprefix(PREFIX)], precision, device)


class ExportedBackend(Backend):
    """One kind of exported network in one precision. It exports each network that it is asked for, as a whole."""

    def __init__(self, name: str, kind: Kind, precision: str = "f32", device: str | None = None) -> None:
        self.kind, self.name, self.version = kind, name, __version__
        self.capabilities = Capabilities(precisions=self.kind.precisions, gradients=False, noise=False, resets=True,
                                         embedding=True, learned_state=True,
                                         **dict.fromkeys(self.kind.lacks, False))  # type: ignore[arg-type]
        if self.kind.is_compiled:
            self.programs_compiled = 0
        self._last: tuple[Any, Program] | None = None
        super().__init__(device, precision)

    def fitted(self, case: Any) -> Any:
        """The case, where resets leave it one sequence: with two directions, `Last()` reads steps of two parts."""
        if not isinstance(case, Case) or case.resets is None or not isinstance(case.net.read, Last):
            return case
        is_split = len(case.net.read_layer.halves) > 1
        return replace(case, net=replace(case.net, read=Steps())) if is_split else case

    def program(self, function: Callable[..., tuple[Tree, Tree]], *constants: Any) -> Callable[..., tuple[Tree, Tree]]:
        """A run or a step of the exported network; other calls raise UnsupportedError."""
        calls: dict[Any, Callable[..., tuple[Tree, Tree]]] = {execution.run: self._run, execution.step: self._step}
        own = calls.get(function)
        if own is None:
            return self._lacking
        return lambda *arrays: own(constants[0], *arrays)

    def _run(
        self, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None, resets: Array | None = None
    ) -> tuple[Tree, Tree]:
        program, batch, dtype = self._opened(net, params), inputs.shape[1], DTYPES[self.precision]
        begun, first = (beginning(net, params, batch, dtype, given) for given in (state, None))
        if resets is None:
            found = program.run(inputs, None if is_beginning(begun, first) else begun, lengths)
        else:
            found = in_parts(program, net, inputs, begun, lengths, resets, first)
        stacks = {"layers": net.layers, "head": net.head}
        path = tuple((f"{kind}.{i}.{half}", self.name) for kind, layers in stacks.items()
                     for i, layer in enumerate(layers) for half in layer.halves)  # fmt: skip
        return found, path

    def _step(self, net: Network, params: Tree, x: Array, state: Tree) -> tuple[Tree, Tree]:
        (outputs, final), _ = self._run(net, params, x[None], state, None)
        return (outputs if isinstance(net.read, Last) else outputs[0], final), None

    def _lacking(self, *_: Any) -> tuple[Tree, Tree]:
        raise UnsupportedError(f"{self.name}", "an exported network must be run", "another call", "call run or step")

    def _opened(self, net: Network, params: Tree) -> Program:
        """The program of a network with these parameters; that of the last call is kept."""
        key = net, tuple((name, np.asarray(a).tobytes()) for name, a in leaves(params))
        if self._last is None or self._last[0] != key:
            self._last = key, self.kind.opened(net, params, self.precision)
            if self.kind.is_compiled:
                self.programs_compiled += 1
        return self._last[1]
