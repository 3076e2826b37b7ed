"""The sums of all workers: each computes the step of its own rows, and one exchange adds up what all need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rnnspec.contract.results import Gradients, Step
from rnnspec.errors import WorkerError
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.tree import Tree, filled, flat_as, tree_map
from rnnspec.workers.group import Group

__all__ = ["among_all", "key_of_rows", "summed"]


def among_all(call: str, backend: Any, net: Network, own: Callable[[], Step]) -> Step:
    """The step of all workers, of which `own` computes that of this worker's rows.

    Where `own` raises, this worker still takes part in the exchange, so that nobody waits for it: it raises its own
    error, and the others raise WorkerError.
    """
    group: Group | None = backend.group
    if group is None or not isinstance(net, Network):
        return own()
    try:
        step, raised = own(), None
    except Exception as error:  # whatever it is, the others must learn of it
        step, raised = _nothing(backend, net), error
    try:
        found, failed = _exchanged(group, net, step, raised is not None)
    finally:
        if raised is not None:
            raise raised
    if failed:
        raise WorkerError(call, "every worker's own call must succeed", f"an error of rank {_listed(failed)}",
                          "look at the error there")  # fmt: skip
    return found


def summed(backend: Any, net: Network, step: Step) -> Step:
    """The step whose loss, count and gradients of parameters are the sums over all workers."""
    return step if backend.group is None else _exchanged(backend.group, net, step, False)[0]


def key_of_rows(backend: Any, key: Key | None, inputs: Any) -> Key | None:
    """The key of this worker's rows, which follow those of lower ranks; `key` is that of the whole batch."""
    if not isinstance(key, Key) or backend.group is None:
        return key
    shape: tuple[Any, ...] = tuple(getattr(inputs, "shape", ()))
    rows: list[int] = backend.group.gathered(int(shape[1]) if len(shape) > 1 else 0)
    return key.at(row=sum(rows[: backend.group.rank]))


def _exchanged(group: Group, net: Network, step: Step, failed: bool) -> tuple[Step, list[int]]:
    """The sums, and the ranks whose own calls failed."""
    shapes = net.parameter_shapes()  # the order of names is that of the network: a tree's own means nothing
    arrays = [step.loss_sum, *flat_as(shapes, step.grads.params)]
    marks = [int(failed and rank == group.rank) for rank in range(group.size)]
    (loss_sum, *sums), (count, *failures) = group.sum(arrays, [int(step.count), *marks])
    grads = replace(step.grads, params=filled(shapes, sums))
    return replace(step, loss_sum=loss_sum, count=count, grads=grads), [r for r, mark in enumerate(failures) if mark]


def _nothing(backend: Any, net: Network) -> Step:
    zeros: Tree = tree_map(backend.zeros, net.parameter_shapes())
    return Step(backend.zeros(()), 0, Gradients(zeros, None, None), None)


def _listed(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks))
