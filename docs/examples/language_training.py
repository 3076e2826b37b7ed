"""Trains a network on rows of text, by one process or by several workers, and goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import shares
from king_james import Text
from scipy.special import log_softmax

import rnnspec
from rnnspec import initialisers
from rnnspec.control.rule import UpdateRule

WINDOWS = rnnspec.Windows(every=16, back=32)


@dataclass(frozen=True)
class Course:
    """How a network is trained: rounds of updates, each followed by a look at the validation text."""

    hidden: int = 256
    rows: int = 16
    steps: int = 64
    """Characters of each row in a piece; there is one update for each piece."""
    windows: rnnspec.Windows = WINDOWS
    updates: int = 250
    rates: tuple[float, ...] = (7e-3,) * 8 + (3e-3,) * 4 + (1e-3,) * 2 + (3e-4,) * 2
    """The learning rate of each round."""
    norm: float = 1.0
    characters: int | None = None
    """How much of the text there is; all of it if None."""


@dataclass(frozen=True)
class Piece:
    """Characters by number (time, batch), those that come next, and whether a reading begins."""

    inputs: np.ndarray
    targets: np.ndarray
    begins: bool


def network(course: Course, characters: int) -> rnnspec.Network:
    # The rows of a character begin as one-hot vectors. A map sees one of their columns: it is drawn wider than usual.
    initial = {"W": initialisers.Normal(0.3), "U": initialisers.Orthogonal(), "b.f": initialisers.Constant(1.0)}
    layer = rnnspec.Layer(rnnspec.cells.lstm, course.hidden, initial=initial)
    letters = rnnspec.Embedding(characters, characters, {"E": initialisers.Identity()})
    return rnnspec.Network(letters, [layer], output=rnnspec.Dense(characters),
                           loss=rnnspec.losses.SoftmaxCrossEntropy())  # fmt: skip


def pieces(text: Text, rows: int, steps: int, own: slice = slice(None)) -> Iterator[Piece]:
    """A text once through: as many rows of equal length, read side by side; the last piece may be shorter.

    Of the rows a worker reads its own.
    """
    length = (len(text.numbers) - 1) // rows
    given, following = (text.numbers[late : late + rows * length].reshape(rows, length)[own].T for late in (0, 1))
    for low in range(0, length, steps):
        yield Piece(given[low : low + steps], following[low : low + steps], begins=low == 0)


def again_and_again(text: Text, rows: int, steps: int, own: slice = slice(None)) -> Iterator[Piece]:
    while True:
        yield from (piece for piece in pieces(text, rows, steps, own) if len(piece.targets) == steps)


def nats(be: rnnspec.Backend, net: rnnspec.Network, params: Any, text: Text, rows: int = 32, steps: int = 128) -> float:
    """The mean of -ln p(character | all before it in its row); its exponential is the perplexity."""
    total, count, state, held = 0.0, 0, None, be.asarray(params)
    for piece in pieces(text, rows, steps, shares.own(be)):
        found = be.run(net, held, piece.inputs, state)
        state = found.state
        log_p = log_softmax(be.to_numpy(found.outputs).astype(np.float64), axis=-1)
        total -= np.take_along_axis(log_p, piece.targets[..., None], -1).sum()
        count += piece.targets.size
    total, count = shares.total(be, float(total), count)
    return total / count


@dataclass(frozen=True)
class Run:
    """A training that can be stopped after any update and gone on with."""

    params: Any
    best: Any
    rule_state: Any
    state: Any
    """Of this worker's rows; in a checkpoint of all."""
    updates: int = 0
    total: float = 0.0
    """The loss of this round so far, and over how many characters."""
    count: int = 0
    losses: tuple[float, ...] = ()
    """Bits for each character of each round: of training on the way, and of validation after it."""
    held: tuple[float, ...] = ()


TREES = ("params", "best", "rule_state", "state")
"""The fields of a run that hold arrays."""


@dataclass(frozen=True)
class Training:
    """A course on a text; each worker has one, and takes its share of the rows."""

    be: rnnspec.Backend
    course: Course
    training: Text
    validation: Text
    seed: int = 0

    @cached_property
    def net(self) -> rnnspec.Network:
        return network(self.course, len(self.training.alphabet))

    @cached_property
    def rules(self) -> list[UpdateRule]:
        """The rule of each round."""
        clipped = rnnspec.policies.ClipByGlobalNorm(self.course.norm)
        return [rnnspec.chain(clipped, rnnspec.updates.Adam(rate)) for rate in self.course.rates]

    def begin(self) -> Run:
        params = self.be.asarray(self.net.init(self.seed))
        state = self.net.state_tree(self.course.rows, lambda shape: np.zeros(shape, np.float32))
        return Run(params, params, self.rules[0].init(params), shares.part(self.be, state))

    def go_on(
        self, run: Run, kept: Callable[[Run], None] = lambda run: None,
        progress: Callable[[float, float], None] = lambda loss, held: None,
    ) -> Run:
        """Train to the end of the course; `kept` hears of each update, `progress` of each round."""
        course, own = self.course, shares.own(self.be)
        reading = again_and_again(self.training, course.rows, course.steps, own)
        for piece in islice(reading, run.updates, course.updates * len(course.rates)):
            run = self._updated(run, piece)
            if run.updates % course.updates == 0:
                run = self._looked_at(run)
                progress(run.losses[-1], run.held[-1])
            kept(run)
        return run

    def _updated(self, run: Run, piece: Piece) -> Run:
        state, rule = None if piece.begins else run.state, self.rules[run.updates // self.course.updates]
        step = self.course.windows.value_and_grad(self.be, self.net, run.params, piece.inputs, piece.targets, state)
        done = self.be.update(self.net, rule, run.params, run.rule_state, step)
        return replace(run, params=done.params, rule_state=done.rule_state, state=done.state, updates=run.updates + 1,
                       total=run.total + float(done.loss_sum), count=run.count + done.count)  # fmt: skip

    def _looked_at(self, run: Run) -> Run:
        if self.be.group is not None:
            self.be.group.agree(self.be.to_numpy(run.params))
        held = nats(self.be, self.net, run.params, self.validation) / np.log(2)
        best = run.params if held <= min(run.held, default=held) else run.best
        return replace(run, best=best, held=(*run.held, held), total=0.0, count=0,
                       losses=(*run.losses, run.total / run.count / np.log(2)))  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The file in a folder that a training goes on from, with as many workers as there are then."""

    folder: Path
    training: Training
    every: int = 50
    """The updates between two writings."""

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def declared(self) -> str:
        """What the numbers of a run follow from, besides the workers and the backend."""
        return json.dumps({"course": asdict(self.training.course), "seed": self.training.seed})

    def keep(self, run: Run) -> None:
        """Write the run, if it is time to: the first worker does, the others give it the state of their rows."""
        if run.updates % self.every:
            return
        be = self.training.be
        trees = {"params": run.params, "best": run.best, "rule_state": run.rule_state}
        trees = be.to_numpy(trees) | {"state": shares.whole(be, self.training.course.rows, run.state)}
        if shares.is_first(be):
            self.folder.mkdir(parents=True, exist_ok=True)
            numbers = {name: value for name, value in vars(run).items() if name not in TREES}
            checkpoints.keep(self.path, trees, numbers | {"declared": self.declared})

    def restored(self) -> Run:
        """The run that was kept, or one that begins; the same on all workers, or ValueError."""
        be, run = self.training.be, self.training.begin()
        if self.path.exists():
            model = {name: getattr(run, name) for name in TREES}
            trees, numbers = checkpoints.restored(self.path, model)
            if numbers.pop("declared") != self.declared:
                raise ValueError(f"{self.path} is of another course; give another folder")
            state = shares.part(be, trees.pop("state"))
            run = Run(**be.asarray(trees), state=state, **numbers)
        if be.group is not None and len(found := set(be.group.gathered(run.updates))) > 1:
            raise ValueError(f"the workers must see one folder, but read updates {sorted(found)}: share {self.folder}")
        return run
