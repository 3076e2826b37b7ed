"""One exchange of a call that several workers share: each does its part, and all get the sums.

A worker hands something on by a sum in which it alone gives numbers, and the others zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Gradients, Result, Step
from rnnspec.errors import WorkerError
from rnnspec.tree import Tree, filled, flat_as, tree_map
from rnnspec.workers.group import Group

__all__ = ["Calls", "Exchange"]


class Calls(Protocol):
    """The public calls of a backend that a sequence on several workers is made of."""

    name: str
    group: Any

    def to_numpy(self, tree: Tree) -> Tree:
        """A tree of copies as NumPy arrays."""

    def asarray(self, tree: Tree) -> Tree:
        """A tree of NumPy arrays as the backend's own."""

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros in the backend's precision."""

    @property
    def run(self) -> Callable[..., Result]:
        """Outputs and final state."""

    @property
    def pullback(self) -> Callable[..., Gradients]:
        """The vector-Jacobian product."""

    @property
    def value_and_grad(self) -> Callable[..., Step]:
        """The loss and its gradients."""

    @property
    def alone(self) -> Calls:
        """The backend without workers."""


@dataclass(frozen=True)
class Exchange:
    """The exchanges of one call, such as `torch.Chain.run(...)`, which errors name."""

    call: str
    backend: Calls
    group: Group

    def sums(
        self, part: Callable[[], tuple[Tree, Sequence[int]]], shapes: Tree, counts: int = 0
    ) -> tuple[Tree, list[int]]:
        """The sums of what the workers' parts return: a tree of arrays of the given shapes, and so many counts.

        None in place of the tree stands for zeros. Where a part raises, its worker raises that error after the
        exchange, and the others WorkerError, so that nobody waits for a worker that has left.
        """
        own: Exception | None = None
        try:
            tree, numbers = part()
        except Exception as error:
            tree, numbers, own = None, [0] * counts, error
        tree = self.zeros(shapes) if tree is None else tree
        failed = [int(own is not None and rank == self.group.rank) for rank in range(self.group.size)]
        try:
            arrays, found = self.group.sum(flat_as(shapes, tree), [*numbers, *failed])
        finally:
            if own is not None:  # also where the exchange failed too
                raise own
        lost = [str(rank) for rank, number in enumerate(found[counts:]) if number]
        if lost:
            raise WorkerError(self.call, "every worker's own call must succeed", f"an error of rank {', '.join(lost)}",
                              "look at the error there")  # fmt: skip
        return filled(shapes, arrays), found[:counts]

    def each(self, part: Callable[[], Any]) -> Any:
        """What this worker's part returns, once no worker's part has raised."""
        kept = []

        def does() -> tuple[Tree, tuple[()]]:
            kept.append(part())
            return [], ()

        self.sums(does, [])
        return kept[0]

    def zeros(self, shapes: Tree) -> Tree:
        """Zeros of these shapes."""
        return tree_map(self.backend.zeros, shapes)

    def gathered(self, numbers: Callable[[], Sequence[int]], count: int) -> list[list[int]]:
        """So many numbers of every worker, by rank."""
        size, rank = self.group.size, self.group.rank

        def part() -> tuple[Tree, list[int]]:
            slots = [0] * (size * count)
            slots[rank * count : (rank + 1) * count] = numbers()
            return [], slots

        found = self.sums(part, [], size * count)[1]
        return [found[each * count : (each + 1) * count] for each in range(size)]
