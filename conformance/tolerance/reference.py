"""The oracle's answer to a case with its yardstick, kept while it is asked for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.cases.case import Case
from conformance.oracle import Arithmetic
from conformance.tolerance.profile import Profile
from rnnspec.rule import Rule
from rnnspec.tree import Tree

__all__ = ["Reference", "pullback", "reference", "run", "train", "value_and_grad"]


@dataclass(frozen=True)
class Reference:
    """What is expected: leaves by dotted name, each with runs first; `refine` gives a reference of four times the runs.

    Names are those of the answer's fields and trees: `outputs`, `state.0.forward.h`, `params.layers.0.forward.W.i`,
    `inputs`, `grads.inputs`, `loss_sum`. `ill_posed` says why no answer of this precision can be judged, or is empty.
    """

    profile: Profile
    leaves: dict[str, Any]
    ill_posed: str
    refine: Callable[[], Reference]

    def at(self, name: str) -> Reference:
        """The part under a dotted name: `reference.at("state")`; names of the leaves then go without it."""
        raise NotImplementedError

    def expected(self) -> dict[str, Any]:
        """Run 0, leaf by leaf."""
        raise NotImplementedError

    def tau(self) -> dict[str, Any]:
        """The yardstick, leaf by leaf: 0 where structure demands an exact 0."""
        raise NotImplementedError


def reference(profile: Profile, compute: Callable[[Arithmetic], Tree], seed: int = 0, runs: int = 8) -> Reference:
    """The reference of any calculation of the oracle: `compute(arithmetic)` gives its answer in that arithmetic."""
    raise NotImplementedError


def run(case: Case, profile: Profile) -> Reference:
    """What `Backend.run` must give for a case: `outputs`, `state`."""
    raise NotImplementedError


def pullback(case: Case, profile: Profile) -> Reference:
    """What `Backend.pullback` must give for a case: `params`, `inputs`, `state`."""
    raise NotImplementedError


def value_and_grad(case: Case, profile: Profile) -> Reference:
    """What `Backend.value_and_grad` must give for a case: `loss_sum`, `count`, `grads`, `state`."""
    raise NotImplementedError


def train(case: Case, rule: Rule, steps: int, profile: Profile) -> Reference:
    """What `steps` calls of `Backend.train_step` must give, each on a batch of its own (`case.batches(steps)`).

    Names start with the number of the step: `9.params.output.W`.
    """
    raise NotImplementedError
