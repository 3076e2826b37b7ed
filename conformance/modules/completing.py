"""What a module does not return stands in from the oracle, so that the module is judged on what it does return.

A module without final states, or with the last step alone, keeps its promise if that is right. The oracle's numbers
stand in the places of the others. Gradients are linear in the cotangents: the module answers for the cotangents of what
it returns, and the oracle for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance import oracle
from conformance.modules.family import Array, Ran, States
from conformance.modules.form import Form
from rnnspec import Layer, Network
from rnnspec.errors import UnsupportedError
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, tree_map

__all__ = ["Completion"]


@dataclass(frozen=True)
class Completion:
    """One call of a module of a form, with all its arguments in time order."""

    call: str
    form: Form
    cell: Cell
    hidden: Any
    params: Tree
    inputs: Array
    state: States
    lengths: Array | None

    def check(self) -> None:
        """Raise UnsupportedError where the call begins with a state that the module cannot be given."""
        lost = [name for name, a in self.state.items() if name not in self.form.takes and a.any()]
        if lost:
            raise UnsupportedError(self.call, "the initial states must be zeros, as declared", f"numbers in {lost[0]}",
                                   f"give it in the form {self.form.text!r}, if the module takes it")  # fmt: skip

    def results(self, ran: Ran) -> tuple[Array, dict[str, Array]]:
        """The outputs of all steps and all final states."""
        if self.form.outputs == "all" and set(self.form.gives) == self.state.keys():
            return ran.outputs, ran.state
        found = tree_map(self._own, oracle.run(*self._asked()[:3], [{"forward": self.state}], self.lengths).state)
        state = {**found[0]["forward"], **ran.state}
        if self.form.outputs == "all":
            return ran.outputs, state
        outputs = self._own(oracle.run(*self._asked()[:3], [{"forward": self.state}], self.lengths).outputs)
        if self.form.outputs == "last" and len(outputs):
            outputs[-1] = ran.outputs
        return outputs, state

    def shared(self, output: Array, states: States) -> tuple[tuple[Array, States], tuple[Array, States]]:
        """The cotangents of what the module returns, and those of the rest, as large as all.

        Raises UnsupportedError where none reaches what it returns.
        """
        own = np.zeros_like(output)
        if self.form.outputs == "last" and len(own):
            own[-1] = output[-1]
        elif self.form.outputs == "all":
            own = output
        answered = set(self.form.gives) - set(self.form.cut)
        mine = {name: a if name in answered else np.zeros_like(a) for name, a in states.items()}
        rest = np.where(own == output, 0, output).astype(output.dtype)
        others = {name: np.zeros_like(a) if name in answered else a for name, a in states.items()}
        reaches = own.any() or any(a.any() for a in mine.values())
        if not reaches and (rest.any() or any(a.any() for a in others.values())):
            raise UnsupportedError(self.call, "a cotangent must reach what the module returns", self.form.text,
                                   "declare what else it returns in the form")  # fmt: skip
        return (own, mine), (rest, others)

    def gradients(self, output: Array, states: States) -> Any:
        """The oracle's gradients of these cotangents: of the parameters, the inputs and the initial states."""
        found = oracle.pullback(*self._asked()[:3], output, [{"forward": dict(states)}], [{"forward": self.state}],
                                self.lengths)  # fmt: skip
        return (tree_map(self._own, found.params)["layers"][0]["forward"], self._own(found.inputs),
                tree_map(self._own, found.state)[0]["forward"])  # fmt: skip

    def _asked(self) -> tuple[Network, Tree, Array]:
        net = Network(self.inputs.shape[-1], [Layer(self.cell, self.hidden)])
        return net, {"layers": [{"forward": self.params}]}, self.inputs

    def _own(self, a: Array) -> Array:
        """The one run of the oracle, in the type of the inputs."""
        return np.array(a[0], self.inputs.dtype)
