"""Whole sequences on pretended workers: each has a window, and the results are put together again, to be judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from rnnspec.contract.results import Gradients, Result, Step
from rnnspec.errors import WorkerError
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, leaves
from rnnspec.workers.group import Group
from rnnspec.workers.pretended import pretended, together
from rnnspec.workers.sequence import OverTime

__all__ = ["Cut"]

Own = Callable[[Any], Any]
"""What a worker has of an array with a time axis."""


@dataclass(frozen=True)
class Cut:
    """The calls of a backend on whole sequences, which workers of one process compute by windows of so many `steps`.

    `kind` is how the windows run, such as `Chain`. Arguments are those of `Backend.run`, `pullback` and
    `value_and_grad`, as NumPy arrays; so are results. The steps add up to those of the inputs. Raises WorkerError where
    what all workers have in common differs by a bit.
    """

    kind: type[OverTime]
    backend: Any
    steps: tuple[int, ...]

    def run(self, net: Network, params: Tree, inputs: Any, state: Tree = None, **more: Any) -> Result:
        """As `Backend.run`."""
        found = self._each(lambda calls, own: calls.run(net, params, own(inputs), state, **_own(own, more)))
        outputs = [ran.outputs for ran in found]
        of_rows = isinstance(net.read, Last)
        self._same([(ran.state, ran.outputs if of_rows else None) for ran in found])
        return Result(outputs[0] if of_rows else np.concatenate(outputs), found[0].state, found[0].path)

    def pullback(
        self, net: Network, params: Tree, inputs: Any, output_cotangent: Any, state_cotangent: Tree = None,
        state: Tree = None, **more: Any,
    ) -> Gradients:
        """As `Backend.pullback`."""
        of_rows = isinstance(net.read, Last)

        def pulled(calls: OverTime, own: Own) -> Gradients:
            cotangent = output_cotangent if of_rows else own(output_cotangent)
            return calls.pullback(net, params, own(inputs), cotangent, state_cotangent, state, **_own(own, more))

        return self._whole(self._each(pulled))

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Any, targets: Any, state: Tree = None, **more: Any
    ) -> Step:
        """As `Backend.value_and_grad`."""
        of_rows = isinstance(net.read, Last) or (net.loss is not None and net.loss.aligned)

        def stepped(calls: OverTime, own: Own) -> Step:
            wanted = targets if of_rows else own(targets)
            return calls.value_and_grad(net, params, own(inputs), wanted, state, **_own(own, more))

        found = self._each(stepped)
        self._same([(step.loss_sum, np.asarray(step.count), step.state) for step in found])
        return Step(found[0].loss_sum, found[0].count, self._whole([step.grads for step in found]), found[0].state)

    def _whole(self, found: list[Gradients]) -> Gradients:
        self._same([(grads.params, grads.state) for grads in found])
        inputs = None if found[0].inputs is None else np.concatenate([grads.inputs for grads in found])
        return Gradients(found[0].params, inputs, found[0].state)

    def _each(self, call: Callable[[OverTime, Own], Any]) -> list[Any]:
        """The results of all workers, as NumPy arrays."""
        ends = [0, *accumulate(self.steps)]

        def worker(group: Group) -> Any:
            window = slice(ends[group.rank], ends[group.rank + 1])
            return _hosted(self.backend, call(self.kind(self.backend.across(group)), lambda array: array[window]))

        return together(pretended(self.backend, len(self.steps)), worker)

    def _same(self, shared: list[Tree]) -> None:
        bits = [[(name, np.asarray(a).tobytes()) for name, a in leaves(tree) if a is not None] for tree in shared]
        others = [str(rank) for rank, own in enumerate(bits) if own != bits[0]]
        if others:
            raise WorkerError(f"Cut({self.kind.__name__}, ...)", "every worker must have the numbers of rank 0",
                              f"others on rank {', '.join(others)}", "hand them on in one sum")  # fmt: skip


def _own(own: Own, more: dict[str, Any]) -> dict[str, Any]:
    """The further arguments of a worker; of those, resets have a time axis."""
    return {name: own(a) if name == "resets" and a is not None else a for name, a in more.items()}


def _hosted(backend: Any, found: Any) -> Any:
    """A result with NumPy arrays."""
    def host(tree: Tree) -> Tree:
        return None if tree is None else backend.to_numpy(tree)

    match found:
        case Result():
            return Result(host(found.outputs), host(found.state), found.path)
        case Gradients():
            return Gradients(host(found.params), host(found.inputs), host(found.state))
    return Step(host(found.loss_sum), found.count, _hosted(backend, found.grads), host(found.state))
