"""The sums of all workers: each computes the step of its own rows, and one exchange adds up what all need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rnnspec.contract.results import Step
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.tree import Shape, Tree
from rnnspec.workers.exchange import Exchange

__all__ = ["among_all", "key_of_rows"]


def among_all(call: str, backend: Any, net: Network, own: Callable[[], Step]) -> Step:
    """The step of all workers, of which `own` computes that of this worker's rows: one exchange, as `Exchange` says."""
    if backend.group is None or not isinstance(net, Network):
        return own()
    kept: list[Step] = []

    def part() -> tuple[Tree, list[int]]:
        step = own()
        kept.append(step)
        return {"loss_sum": step.loss_sum, "params": step.grads.params}, [int(step.count)]

    shapes = {"loss_sum": Shape(()), "params": net.parameter_shapes()}
    sums, (count,) = Exchange(call, backend, backend.group).sums(part, shapes, 1)
    (step,) = kept
    return replace(step, loss_sum=sums["loss_sum"], count=count, grads=replace(step.grads, params=sums["params"]))


def key_of_rows(backend: Any, key: Key | None, inputs: Any) -> Key | None:
    """The key of this worker's rows, which follow those of lower ranks; `key` is that of the whole batch."""
    if not isinstance(key, Key) or backend.group is None:
        return key
    shape: tuple[Any, ...] = tuple(getattr(inputs, "shape", ()))
    rows: list[int] = backend.group.gathered(int(shape[1]) if len(shape) > 1 else 0)
    return key.at(row=sum(rows[: backend.group.rank]))
