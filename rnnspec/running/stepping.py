"""A stream: the steps of a network one after another, with the state between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree

__all__ = ["ProgramSteps", "Stepper"]


class Stepper(Protocol):
    """Runs steps of a fixed number of rows, and keeps the state.

    `state` is a tree of the backend's own arrays. What a getter gives may be memory that the next step writes; a setter
    may keep what it gets.
    """

    state: Tree

    def step(self, x: Array) -> Array:
        """The outputs (batch, feature) of a step (batch, feature), in memory of their own."""
        ...


class ProgramSteps:
    """The steps of a network as calls of one program, `execution.step`."""

    def __init__(self, program: Callable[..., tuple[Tree, Tree]], state: Tree) -> None:
        self.program, self.state = program, state

    def step(self, x: Array) -> Array:
        """As the protocol says."""
        (outputs, self.state), _ = self.program(x, self.state)
        return outputs
