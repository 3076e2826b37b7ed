"""Which cells learn which of the tasks, by which means, and a training that can be gone on with."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
from memory_tasks import Adding, Copying, Task

import rnnspec
from rnnspec import Layer, cells, initialisers, policies, updates
from rnnspec.control.rule import UpdateRule
from rnnspec.initialisers import Chrono, Identity, Normal, Opposite, Orthogonal, Zeros

SOLVED = 0.01
"""The error below which a task is solved; without any memory it is 17 times as large in both."""
HELD, TESTING = 2**40, 2**41
"""The draws that are looked at while training, and those that are not; a step's own has the step's number."""


@dataclass(frozen=True)
class Remedy:
    """A cell, with the initial values that are to keep its gradients alive over `steps`."""

    cell: rnnspec.Cell
    initial: Callable[[int], dict[str, initialisers.Initialiser]]


REMEDIES = {
    "tanh Elman": Remedy(cells.elman, lambda steps: {"U": Orthogonal()}),
    "ReLU Elman": Remedy(cells.elman_relu, lambda steps: {"U": Identity(), "W": Normal(0.001), "b": Zeros()}),
    "LSTM": Remedy(cells.lstm, lambda steps: {"b.f": Chrono(steps), "b.i": Opposite("b.f", Chrono(steps))}),
    "GRU": Remedy(cells.gru, lambda steps: {}),
}


@dataclass(frozen=True)
class Experiment:
    """One run: a task, a remedy, the limit of the gradient's global norm or None, Adam's rate."""

    task: Task
    remedy: str
    norm: float | None
    rate: float

    @property
    def name(self) -> str:
        return f"{self.task.name}, {self.remedy}, {'not clipped' if self.norm is None else f'clipped at {self.norm:g}'}"

    def network(self, hidden: int) -> rnnspec.Network:
        remedy = REMEDIES[self.remedy]
        return self.task.network(Layer(remedy.cell, hidden, initial=remedy.initial(self.task.steps)))

    @property
    def rule(self) -> UpdateRule:
        adam = updates.Adam(self.rate)
        return adam if self.norm is None else rnnspec.chain(policies.ClipByGlobalNorm(self.norm), adam)


RATES = {"tanh Elman": 1e-3, "ReLU Elman": 3e-4, "LSTM": 3e-3, "GRU": 3e-3}
EXPERIMENTS = (
    *(Experiment(task, remedy, norm, RATES[remedy])
      for task in (Adding(200), Adding(100)) for remedy in REMEDIES for norm in (1.0, None)),
    *(Experiment(Copying(100), remedy, 1.0, RATES[remedy]) for remedy in REMEDIES),
)  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How long a network is trained, how large it is, and when it is looked at."""

    hidden: int = 64
    batch: int = 32
    steps: int = 5000
    every: int = 100
    held: int = 500
    testing: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """A training that can be stopped after any look and gone on with."""

    params: Any
    state: Any
    step: int = 0
    errors: tuple[float, ...] = ()
    """Of each look, on sequences that are not trained on."""
    seconds: float = 0.0
    """Of the processor."""

    @property
    def diverged(self) -> bool:
        return bool(self.errors) and not np.isfinite(self.errors[-1])


TREES = ("params", "state")
"""The fields of a run that hold arrays."""


@dataclass(frozen=True)
class Training:
    """An experiment on a backend, in a course."""

    be: rnnspec.Backend
    experiment: Experiment
    course: Course

    @cached_property
    def net(self) -> rnnspec.Network:
        return self.experiment.network(self.course.hidden)

    @property
    def declared(self) -> dict[str, Any]:
        """All that the numbers of the run follow from."""
        own, layer = self.experiment, self.net.layers[0]
        return {"name": own.name, "task": own.task.name, "cell": own.remedy, "initial": str(dict(layer.initial)),
                "norm": own.norm, "rate": own.rate, "backend": self.be.name, **asdict(self.course)}  # fmt: skip

    def run(self, folder: Path | None = None, progress: Callable[[Run], None] = lambda run: None) -> Run:
        """Train to the end, from the checkpoint in the folder if there is one."""
        path = folder and folder / f"{hashlib.sha256(json.dumps(self.declared).encode()).hexdigest()[:16]}.safetensors"
        run = self._begin()
        if path and path.exists():
            run = self._restored(path, run)
        while not self._is_over(run):
            run = self._looked_at(self._some_steps(run))
            if path:
                self._keep(path, run)
            progress(run)
        return run

    def error(self, params: Any, draw: int, rows: int) -> float:
        """Of a network on sequences of a draw."""
        given = self._batch(draw, rows)
        outputs = self.be.to_numpy(self.be.run(self.net, params, given.inputs).outputs)
        with np.errstate(all="ignore"):
            return self.experiment.task.error(outputs.astype(float), given.targets)

    def _begin(self) -> Run:
        params = self.be.asarray(self.net.init(self.course.seed))
        return Run(params, self.experiment.rule.init(params))

    def _batch(self, draw: int, rows: int) -> Any:
        return self.experiment.task.batch(np.random.default_rng([self.course.seed, draw]), rows)

    def _some_steps(self, run: Run) -> Run:
        start, params, state, rule = time.process_time(), run.params, run.state, self.experiment.rule
        for step in range(run.step, run.step + self.course.every):
            given = self._batch(step, self.course.batch)
            done = self.be.train_step(self.net, rule, params, state, given.inputs, given.targets)
            params, state = done.params, done.rule_state
        seconds = run.seconds + time.process_time() - start
        return replace(run, params=params, state=state, step=run.step + self.course.every, seconds=seconds)

    def _looked_at(self, run: Run) -> Run:
        return replace(run, errors=(*run.errors, self.error(run.params, HELD, self.course.held)))

    def _is_over(self, run: Run) -> bool:
        """Half of what counts as solved ends a run, so that the test is not a matter of luck."""
        solved = bool(run.errors) and run.errors[-1] < SOLVED / 2
        return solved or run.diverged or run.step >= self.course.steps

    def _keep(self, path: Path, run: Run) -> None:
        trees = {name: getattr(run, name) for name in TREES}
        checkpoints.keep(path, self.be.to_numpy(trees),
                         {name: value for name, value in vars(run).items() if name not in trees})  # fmt: skip

    def _restored(self, path: Path, model: Run) -> Run:
        trees, numbers = checkpoints.restored(path, {name: getattr(model, name) for name in TREES})
        return Run(**self.be.asarray(trees), **numbers)


def row(training: Training, run: Run) -> dict[str, Any]:
    """What is kept of a run that is over."""
    course, error = training.course, training.error(run.params, TESTING, training.course.testing)
    return {**training.declared, "step": run.step, "test_error": error if np.isfinite(error) else None,
            "chance": training.experiment.task.chance, "solved": error < SOLVED, "diverged": run.diverged,
            "errors": [error if np.isfinite(error) else None for error in run.errors],
            "looks": [course.every * (i + 1) for i in range(len(run.errors))],
            "processor_seconds": round(run.seconds, 1)}  # fmt: skip
