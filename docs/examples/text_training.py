"""Training through a course: rounds of new lines, a look at the validation lines and a checkpoint after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from text_checkpoint import keep, restored
from text_course import Course, Run, is_over, looked_at
from text_lines import Batch, Task
from text_readings import character_errors, logits, read

import rnnspec

VALIDATION, TESTING = 1, 2
"""The seeds of the lines that are looked at while training, and of those that are not; those of rounds are larger."""
UPDATES = 1_000_000
"""More than a training has."""


def begin(be: rnnspec.Backend, task: Task, course: Course, seed: int) -> Run:
    params = be.asarray(course.network(task).init(seed))
    return Run(params, course.rule(0).init(params), params)


def train(
    be: rnnspec.Backend, task: Task, course: Course, seed: int, checkpoint: Path | None = None,
    progress: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Train to the end, from the checkpoint if there is one, which is written after every round."""
    held = task.batches(task.validation(course.validation, VALIDATION), course.batch)
    net, run = course.network(task), begin(be, task, course, seed)
    if checkpoint and checkpoint.exists():
        run = restored(be, checkpoint, run)
    while not is_over(course, run):
        wall, processor = time.perf_counter(), time.process_time()
        run = one_round(be, task, course, run, seed)
        run = looked_at(course, run, character_errors(read(logits(be, net, run.params), held, task.alphabet)))
        run = replace(run, seconds=run.seconds + time.perf_counter() - wall,
                      processor_seconds=run.processor_seconds + time.process_time() - processor)  # fmt: skip
        if checkpoint:
            keep(be, checkpoint, run)
        progress(run)
    return run


def one_round(be: rnnspec.Backend, task: Task, course: Course, run: Run, seed: int) -> Run:
    """Train on new lines."""
    net, rule = course.network(task), course.rule(run.stage)
    params, state, total, count, steps = run.params, run.state, 0.0, 0, 0
    for part in practice(task, course, seed, run.round):
        key = rnnspec.Key(UPDATES * seed + run.steps + steps)  # noise of its own for each update, if there is any
        done = be.train_step(net, rule, params, state, part.frames, part.labels, key=key)
        params, state, steps = done.params, done.rule_state, steps + 1
        total, count = total + float(done.loss_sum), count + done.count
    return replace(run, params=params, state=state, round=run.round + 1, steps=run.steps + steps,
                   losses=(*run.losses, total / count))  # fmt: skip


def practice(task: Task, course: Course, seed: int, round: int) -> Iterator[Batch]:
    """The batches of a round, in an order of their own; only whole ones, so that a width is one shape."""
    own = 1000 + 100_000 * seed + round
    batches = task.batches(task.training(course.lines, own), course.batch)
    whole = [part for part in batches if len(part.lines) == course.batch]
    yield from (whole[i] for i in np.random.default_rng(own).permutation(len(whole)))
