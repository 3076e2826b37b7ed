"""A course of training: what is learnt how long at which rate, and where in it a run is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from text_lines import COLUMNS, Task

import rnnspec


@dataclass(frozen=True)
class Stage:
    """At most so many rounds at one learning rate."""

    rate: float
    rounds: int


@dataclass(frozen=True)
class Course:
    """How a network is trained: a stage ends after its rounds, or after `patience` of them that were no better."""

    stages: tuple[Stage, ...]
    hidden: int = 64
    batch: int = 32
    lines: int = 1280
    """New ones in every round."""
    patience: int = 12
    norm: float = 1.0
    dropout: float = 0.0
    """The share of the features that is dropped between the layers and before the output."""
    validation: int = 400
    testing: int = 1000

    def rule(self, stage: int) -> rnnspec.rule.Rule:
        clip = rnnspec.policies.ClipByGlobalNorm(self.norm)
        return rnnspec.chain(clip, rnnspec.updates.Adam(self.stages[stage].rate))

    def network(self, task: Task) -> rnnspec.Network:
        """Two bidirectional layers, and an output for each character and for blank, which is the last."""
        layer, classes = rnnspec.Layer(rnnspec.cells.lstm, self.hidden, "bidirectional"), len(task.alphabet)
        noise = [rnnspec.Dropout(self.dropout)] if self.dropout else []
        return rnnspec.Network(COLUMNS * task.height, [layer, *noise, layer, *noise],
                               output=rnnspec.Dense(classes + 1), loss=rnnspec.losses.CTC(classes))  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A training that can be stopped after any round and gone on with; `best` is what validation likes best."""

    params: Any
    state: Any
    best: Any
    round: int = 0
    stage: int = 0
    begun: int = 0
    """The round at which the stage began."""
    waited: int = 0
    best_error: float = float("inf")
    steps: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    losses: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()


def is_over(course: Course, run: Run) -> bool:
    return run.stage == len(course.stages)


def looked_at(course: Course, run: Run, error: float) -> Run:
    """Keep the network if validation likes none better so far; at the end of a stage go on from the best."""
    run = replace(run, errors=(*run.errors, error), waited=run.waited + 1)
    if error <= run.best_error:
        run = replace(run, best=run.params, best_error=error, waited=0)
    if run.round - run.begun < course.stages[run.stage].rounds and run.waited < course.patience:
        return run
    return replace(run, params=run.best, stage=run.stage + 1, begun=run.round, waited=0)
