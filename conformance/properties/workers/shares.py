"""The rows of a case, shared among workers that are threads of one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from conformance import oracle, tolerance
from conformance.cases import Case
from conformance.oracle import Arithmetic, Batch
from conformance.properties.asking import Question, ask, is_eager
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Capabilities, Group, Key, Step
from rnnspec.tree import Tree, tree_map
from rnnspec.workers.pretended import Pretended, pretended, together

__all__ = ["Shares", "shared", "sums", "within", "workers"]

Array = Any
T = TypeVar("T")


@lru_cache(maxsize=4)
def workers(backend: Backend, size: int) -> list[Pretended]:
    """Workers of a backend, the same ones in every call, since a backend keeps programs for each."""
    return pretended(backend, size)


@dataclass(frozen=True)
class Shares:
    """A question about all rows, and which of them each worker has, in the order of ranks."""

    whole: Question
    rows: tuple[Array, ...]

    @property
    def parts(self) -> list[Question]:
        """The question of each worker's own rows."""
        return [_part(self.whole, rows, rank) for rank, rows in enumerate(self.rows)]

    @property
    def batch(self) -> list[Batch]:
        """The batch of each worker, as the oracle takes them."""
        return [(g.inputs, g.targets, g.state, g.lengths, g.resets) for g in (part.given for part in self.parts)]

    def each(self, function: Callable[[Question], T]) -> list[T]:
        """What a function makes of the question of each worker, which asks the backend as one of them."""
        backend, parts = self.whole.backend, self.parts

        def worker(group: Group) -> T:
            return function(replace(parts[group.rank], backend=backend.across(group)))

        return together(workers(backend, len(parts)), worker)

    def reference(self, seed: int) -> Reference:
        """The `sums` of all rows, where each worker stores those of its own."""
        net, params, batch = self.whole.net, self.whole.given.params, self.batch
        key, before = self.whole.key, np.cumsum([0, *map(len, self.rows)])
        keys = [key and key.at(row=int(row)) for row in before[:-1]]

        def compute(arithmetic: Arithmetic) -> Tree:
            return sums(oracle.shared(net, params, batch, arithmetic, keys))

        return tolerance.reference(PROFILES[self.whole.backend.precision], compute, seed)

    def joined(self, steps: list[Step]) -> dict[str, Tree]:
        """What belongs to rows, of all workers: in the order of the rows, with zeros for steps that a worker lacks."""
        inputs = [step.grads.inputs for step in steps]
        pulled = {} if inputs[0] is None else {"inputs": self._in_place(1, *inputs)}
        return {"grads": {**pulled, "state": self._rows_in_place([step.grads.state for step in steps])},
                "state": self._rows_in_place([step.state for step in steps])}  # fmt: skip

    def _rows_in_place(self, states: list[Tree]) -> Tree:
        first, *others = states
        return tree_map(lambda *parts: self._in_place(0, *parts), first, *others)

    def _in_place(self, axis: int, *parts: Array) -> Array:
        shape = list(parts[0].shape)
        shape[: axis + 1] = [self.whole.steps, len(self.whole.ends)][1 - axis :]
        found = np.zeros(shape, parts[0].dtype)
        for rows, part in zip(self.rows, parts, strict=True):
            found[(slice(len(part)), rows) if axis else rows] = part
        return found


def shared(backend: Backend, case: Case, key: Key | None = None) -> Shares:
    """The rows of a case, shared as its seed says; with a key, in their own order."""
    question = replace(ask(backend, within(backend.capabilities, case)), key=key)
    rng = np.random.default_rng(case.seed)
    order = rng.permutation(case.batch) if key is None else np.arange(case.batch)
    cuts = _cuts(case, rng) if is_eager(backend) else [case.batch // 2, case.batch // 2 * 2]
    return Shares(question, tuple(np.split(order, cuts)))


def sums(step: Step) -> dict[str, Any]:
    """What every worker gets of all rows."""
    return {"loss_sum": step.loss_sum, "count": step.count, "params": step.grads.params}


def _cuts(case: Case, rng: np.random.Generator) -> list[int]:
    """Where one worker's rows end and the next one's begin: anywhere, a row each, all on one worker, or in the middle.
    """
    rows, place = case.batch, case.seed // 4 % 3
    kinds = (sorted(rng.integers(0, rows + 1, 1 + place).tolist()), list(range(1, max(2, min(4, rows)))),
             [0] * place + [rows] * (2 - place), [rows // 2])  # fmt: skip
    return kinds[case.seed % len(kinds)]


def within(able: Capabilities, case: Case) -> Case:
    """The case without resets and learned states that are not declared."""
    net = case.net
    if not able.learned_state:
        net = replace(net, layers=[replace(layer, learned_state=False) for layer in net.layers])
    return replace(case, net=net, resets=case.resets if able.resets else None)


def _part(whole: Question, rows: Array, rank: int) -> Question:
    """The question of some rows, with fewer steps of padding, or none, where that costs no program."""
    g, steps = whole.given, whole.steps
    if g.lengths is not None and is_eager(whole.backend):
        steps = min(steps, int(g.lengths[rows].max(initial=0)) + rank % 2)
    by_row = whole.is_last or (whole.net.loss is not None and whole.net.loss.aligned)
    return whole.but(
        inputs=g.inputs[:steps, rows], targets=g.targets[rows] if by_row else g.targets[:steps, rows],
        state=None if g.state is None else tree_map(lambda s: s[rows], g.state),
        lengths=None if g.lengths is None else g.lengths[rows],
        resets=None if g.resets is None else g.resets[:steps, rows],
    )  # fmt: skip
