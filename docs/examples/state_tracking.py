"""Shows which cells track a state: each is trained on words of up to 40 steps, and tested on words of 256.

    python docs/examples/state_tracking.py --seeds 2 --json docs/figures/tracking.json

The state is the parity of bits, or the product of permutations so far. A cell whose state passes from step to step by
a map without negative eigenvalues cannot turn a sign, and learns neither.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from course_bar import course_bar
from rich.console import Console
from rich.table import Table
from word_problems import TASKS, Words

import rnnspec
from rnnspec import Layer, cells, initialisers, policies, updates
from rnnspec.primitives import number, outer, sigmoid, sqrt, total

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Read by a process when it loads NumPy."""
TESTING = 2**40
"""The draw of the words that are tested; a step of training has its own number."""

Row = dict[str, Any]


@rnnspec.cell
def deltanet_negative(x, S, *, epsilon=1e-6):
    """Grazzi et al. (2025): DeltaNet with a gate b that reaches 2, for eigenvalues down to -1."""
    b = 2 * sigmoid(number(x.b))
    q, k = x.q / sqrt(total(x.q * x.q) + epsilon), x.k / sqrt(total(x.k * x.k) + epsilon)
    S = S + outer(b * (x.v - S @ k), k)
    return rnnspec.out(S @ q), S


OPEN = initialisers.Constant(4.0)
"""Where the gates that replace start: near their largest value, from which training closes those that should not."""
LAYERS = {
    "LSTM": Layer(cells.lstm, 64),
    "sLSTM": Layer(cells.slstm, 32, heads=2),
    "DeltaNet": Layer(cells.deltanet, 8, heads=4, initial={"b.b": OPEN}),
    "DeltaNet, b to 2": Layer(deltanet_negative, 8, heads=4, initial={"b.b": OPEN}),
    "DeltaProduct": Layer(cells.deltaproduct, 8, heads=4, initial={"b.b1": OPEN, "b.b2": OPEN}),
    "GLA": Layer(cells.gla, 8, heads=4),
    "Mamba-2": Layer(cells.mamba2, 8, heads=4),
    "minGRU": Layer(cells.mingru, 64),
}


@dataclass(frozen=True)
class Stage:
    """Updates on words of one length, at one rate of Adam's."""

    steps: int
    updates: int
    rate: float


@dataclass(frozen=True)
class Course:
    """How a network is trained, on short words first, and how many words of which length it is tested on."""

    stages: tuple[Stage, ...]
    batch: int = 64
    norm: float = 1.0
    testing: int = 1000
    lengths: tuple[int, ...] = (10, 20, 40, 80, 160, 256)


SHORT = Course((Stage(5, 200, 1e-2), Stage(10, 200, 1e-2), Stage(20, 200, 5e-3), Stage(40, 300, 3e-3)))
LONG = Course((Stage(5, 700, 1e-2), Stage(10, 700, 1e-2), Stage(20, 800, 5e-3), Stage(40, 1000, 3e-3),
               Stage(40, 400, 1e-3)))  # fmt: skip
QUICK = Course((Stage(2, 1, 1e-2), Stage(3, 1, 1e-2)), batch=2, testing=4, lengths=(3, 5))
COURSES = {"parity": SHORT}
"""The course of each task; LONG for the others."""


@dataclass(frozen=True)
class Run:
    """One training: a task, the name of a layer, a course, and the seed of the initial values and the words."""

    task: Words
    cell: str
    course: Course
    seed: int

    @property
    def net(self) -> rnnspec.Network:
        return self.task.network(LAYERS[self.cell])

    def rng(self, draw: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, draw])


def runs(seeds: int, quick: bool) -> list[Run]:
    """Every cell on every task, from each seed."""
    return [Run(task, cell, QUICK if quick else COURSES.get(task.name, LONG), seed)
            for task in TASKS for cell in LAYERS for seed in range(seeds)]  # fmt: skip


def trained(be: rnnspec.Backend, run: Run) -> tuple[Any, float]:
    """The parameters after the course, and the mean loss of the last update."""
    net, course, state = run.net, run.course, None
    params = be.asarray(net.init(run.seed))
    for draw, stage in enumerate(chain.from_iterable(repeat(each, each.updates) for each in course.stages)):
        rule = rnnspec.chain(policies.ClipByGlobalNorm(course.norm), updates.Adam(stage.rate))
        words = run.task.batch(run.rng(draw), stage.steps, course.batch)
        done = be.train_step(net, rule, params, state or rule.init(params), *words)
        params, state = done.params, done.rule_state
    return params, float(done.loss_sum) / done.count


def accuracies(be: rnnspec.Backend, run: Run, params: Any) -> list[float]:
    """The share of words whose product is right at the last step, for each length; a word begins all shorter ones."""
    words = run.task.batch(run.rng(TESTING), max(run.course.lengths), run.course.testing)
    found = be.to_numpy(be.run(run.net, params, words.inputs).outputs).argmax(-1)
    return [float(np.mean(found[length - 1] == words.targets[length - 1])) for length in run.course.lengths]


def measured(backend: str, run: Run) -> Row:
    """What is kept of one run."""
    be, start = rnnspec.get_backend(backend), time.process_time()
    params, loss = trained(be, run)
    return {"task": run.task.name, "cell": run.cell, "seed": run.seed, "chance": run.task.chance,
            "elements": len(run.task.elements), "factors": len(run.task.factors),
            "updates": sum(stage.updates for stage in run.course.stages), "loss": loss,
            "trained_to": run.course.stages[-1].steps, "lengths": run.course.lengths,
            "accuracies": accuracies(be, run, params),
            "processor_seconds": round(time.process_time() - start, 1)}  # fmt: skip


def rows_of(backend: str, wanted: Sequence[Run], jobs: int) -> Iterator[Row]:
    """The rows of the runs in their order, some at a time, each in a process on one thread."""
    if jobs == 1:
        yield from (measured(backend, run) for run in wanted)
        return
    os.environ |= ONE_THREAD
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(measured, [backend] * len(wanted), wanted)


def comparison(task: Words, rows: Sequence[Row]) -> Table:
    """The accuracies of each cell on a task; the headings are numbers of steps."""
    table = Table(task.name, *map(str, rows[0]["lengths"]))
    for row in rows:
        table.add_row(row["cell"], *(f"{accuracy:.3f}" for accuracy in row["accuracies"]))
    return table


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "jax",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each cell on each task.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, to see that everything works.")] = False,
) -> None:
    """Train every cell on every task."""
    console, wanted, rows = Console(), runs(seeds, quick), []
    with course_bar(console, "run", len(wanted)) as advance:
        for row in rows_of(backend, wanted, jobs):
            rows.append(row)
            advance(f"{row['task']}, {row['cell']}: {row['accuracies'][-1]:.3f} after {row['lengths'][-1]} steps")
    for task in TASKS:
        console.print(comparison(task, [row for row in rows if row["task"] == task.name]))
    if json_file:
        json_file.write_text(json.dumps({"backend": backend, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
