"""Reads lines of handwritten digits, without being told where one digit ends and the next begins.

    python docs/examples/text_recognition.py --backend torch --picture lines.png

Two bidirectional LSTM layers go over the columns of pixels from both sides, an output layer names a digit or says
blank at every column, and CTC finds the alignment. Every training line is new; validation picks the best network, and
ends the training when it gets no better. A run that is killed goes on from its last checkpoint, to the same numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from digit_lines import Batch, Line, Scans, batches, lines, scans
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors.numpy import load_file, save

import rnnspec
from rnnspec import decoding
from rnnspec.tree import leaves, named_map

BLANK, CLASSES = 10, 11
VALIDATION, TESTING = 1, 2
"""The seeds of the lines that are looked at while training, and of those that are not."""


@dataclass(frozen=True)
class Course:
    """How a network is trained: rounds of new lines, each followed by a look at the validation lines."""

    hidden: int = 96
    batch: int = 32
    batches: int = 50
    rounds: int = 60
    patience: int = 8
    """Rounds without a better validation, after which the rate falls; and after half as many more the course ends."""
    rates: tuple[float, ...] = (3e-3, 1e-3, 3e-4)
    norm: float = 1.0
    seconds: float = 600.0
    """No round begins later."""
    validation: int = 200
    testing: int = 1000


@dataclass(frozen=True)
class Run:
    """A training that can be stopped after any round and gone on with."""

    params: Any
    state: Any
    best: Any
    round: int = 0
    stage: int = 0
    waited: int = 0
    best_error: float = 1.0
    seconds: float = 0.0
    losses: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()


def network(hidden: int) -> rnnspec.Network:
    layer = rnnspec.Layer(rnnspec.cells.lstm, hidden, "bidirectional")
    return rnnspec.Network(16, [layer, layer], output=rnnspec.Dense(CLASSES), loss=rnnspec.losses.CTC(BLANK))


def rule(course: Course, stage: int) -> Any:
    clip = rnnspec.policies.ClipByGlobalNorm(course.norm)
    return rnnspec.chain(clip, rnnspec.updates.Adam(course.rates[stage]))


def begin(be: rnnspec.Backend, net: rnnspec.Network, course: Course, seed: int) -> Run:
    params = be.asarray(net.init(seed))
    return Run(params, rule(course, 0).init(params), params)


def one_round(be: rnnspec.Backend, net: rnnspec.Network, course: Course, run: Run, source: Scans, seed: int) -> Run:
    """Train on new lines, lines of like length together, in an order of their own."""
    given = batches(lines(source, course.batch * course.batches, hash_of(seed, run.round)), course.batch)
    params, state, total, count = run.params, run.state, 0.0, 0
    for i in np.random.default_rng(hash_of(seed, run.round)).permutation(len(given)):
        part = given[i]
        done = be.train_step(net, rule(course, run.stage), params, state, part.columns, part.digits, None, part.lengths)
        params, state = done.params, done.rule_state
        total, count = total + float(done.loss_sum), count + done.count
    return replace(run, params=params, state=state, round=run.round + 1, losses=(*run.losses, total / count))


def hash_of(seed: int, round: int) -> int:
    """A seed for the lines of a round; those of validation and testing are below it."""
    return 1000 + 100_000 * seed + round


def looked_at(be: rnnspec.Backend, net: rnnspec.Network, course: Course, run: Run, given: Sequence[Batch]) -> Run:
    """Keep the network if it is the best so far; after enough rounds without one, go on from the best, more slowly."""
    error = character_errors(read(be, net, run.params, given))
    run = replace(run, errors=(*run.errors, error), waited=run.waited + 1)
    if error < run.best_error:
        return replace(run, best=run.params, best_error=error, waited=0)
    if run.waited >= course.patience and run.stage + 1 < len(course.rates):
        return replace(run, params=run.best, stage=run.stage + 1, waited=0)
    return run


def is_over(course: Course, run: Run) -> bool:
    last = run.stage + 1 == len(course.rates)
    return run.round >= course.rounds or run.seconds > course.seconds or (last and run.waited >= course.patience)


def train(
    be: rnnspec.Backend, net: rnnspec.Network, course: Course, seed: int, checkpoint: Path | None = None,
    progress: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Train to the end, from the checkpoint if there is one."""
    training, validation, _ = scans()
    held = batches(lines(validation, course.validation, VALIDATION), course.batch)
    run = begin(be, net, course, seed)
    if checkpoint and checkpoint.exists():
        run = restored(be, checkpoint, run)
    while not is_over(course, run):
        start = time.perf_counter()
        run = looked_at(be, net, course, one_round(be, net, course, run, training, seed), held)
        run = replace(run, seconds=run.seconds + time.perf_counter() - start)
        if checkpoint:
            keep(be, checkpoint, run)
        progress(run)
    return run


def keep(be: rnnspec.Backend, path: Path, run: Run) -> None:
    """Write everything that the run goes on from, whole or not at all."""
    trees = be.to_numpy({"params": run.params, "state": run.state, "best": run.best})
    arrays = {name: np.array(array, order="C") for name, array in leaves(trees)}
    numbers = {name: value for name, value in vars(run).items() if name not in trees}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(save(arrays | {"numbers": np.frombuffer(json.dumps(numbers).encode(), np.uint8)}))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def restored(be: rnnspec.Backend, path: Path, model: Run) -> Run:
    """The run that `keep` wrote; `model` has its trees."""
    arrays = load_file(path)
    numbers = json.loads(arrays.pop("numbers").tobytes())
    shapes = {"params": model.params, "state": model.state, "best": model.best}
    trees = be.asarray(named_map(lambda name, _: arrays[name], shapes))
    sequences = {name: tuple(value) for name, value in numbers.items() if isinstance(value, list)}
    return Run(**trees, **{**numbers, **sequences})


Reading = tuple[tuple[int, ...], tuple[int, ...]]
"""The digits of a line, and what was read."""


def read(
    be: rnnspec.Backend, net: rnnspec.Network, params: Any, given: Sequence[Batch], width: int = 0
) -> list[Reading]:
    """Read lines greedily, or by a beam of some width."""
    found: list[Reading] = []
    for part in given:
        outputs = be.to_numpy(be.run(net, params, part.columns, None, part.lengths).outputs)
        if width:
            answers = [row[0].labels for row in decoding.beam(outputs, part.lengths, blank=BLANK, width=width)]
        else:
            answers = decoding.greedy(outputs, part.lengths, blank=BLANK)
        truth = [tuple(int(d) for d in row if d >= 0) for row in part.digits]
        found += zip(truth, answers, strict=True)
    return found


def edits(truth: Sequence[int], answer: Sequence[int]) -> int:
    """The fewest digits to put in, leave out or exchange: Levenshtein (1966)."""
    above = np.arange(len(answer) + 1)
    for i, digit in enumerate(truth, 1):
        row = [i]
        for j, said in enumerate(answer, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (digit != said)))
        above = np.array(row)
    return int(above[-1])


def character_errors(readings: Sequence[Reading]) -> float:
    return sum(edits(*pair) for pair in readings) / sum(len(truth) for truth, _ in readings)


def line_errors(readings: Sequence[Reading]) -> float:
    return sum(truth != answer for truth, answer in readings) / len(readings)


def draw(path: Path, run: Run, given: Sequence[Line], readings: Sequence[Reading]) -> None:
    """The course of training, and lines with what was read: all that went wrong first, as far as there is room."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # loaded when a picture is asked for

    pairs = sorted(zip(given, readings, strict=True), key=lambda pair: pair[1][0] == pair[1][1])[:30]
    figure = Figure(figsize=(12, 11), layout="constrained")
    grid = figure.add_gridspec(11, 3)
    curve = figure.add_subplot(grid[0:2, :])
    rounds = np.arange(1, len(run.losses) + 1)
    curve.semilogy(rounds, run.losses, label="training loss (nats a line)")
    curve.semilogy(rounds, np.maximum(run.errors, 1e-4), label="validation, character error rate")
    curve.set(xlabel="round")
    curve.legend()
    for place, (line, (truth, answer)) in zip_longest(range(27), pairs[:27]):
        if place is None or line is None:
            break
        axes = figure.add_subplot(grid[2 + place // 3, place % 3])
        axes.imshow(line.image, cmap="Greys", aspect="equal")
        axes.set(xticks=[], yticks=[])
        right = truth == answer
        said = "".join(map(str, answer)) or "nothing"
        axes.set_title(said if right else f"{said} for {''.join(map(str, truth))}", fontsize=9,
                       color="black" if right else "tab:red")  # fmt: skip
    figure.savefig(path, dpi=120)


def main(
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values and the training lines.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Written after every round; gone on from, if there.")] = None,
    save_file: Annotated[Path, typer.Option("--save", help="Where the network goes.")] = Path("lines.safetensors"),
    picture: Annotated[Path | None, typer.Option(help="Draw the course of training, and readings.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to read lines of handwritten digits."""
    console, be = Console(), rnnspec.get_backend(backend)
    course = Course(hidden=16, batch=16, batches=4, rounds=3, validation=32, testing=32) if quick else Course()
    net = network(course.hidden)
    said = TextColumn("loss {task.fields[loss]:.3f}, validation error {task.fields[error]:.4f}")
    columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), said, TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=course.rounds, loss=float("nan"), error=1.0)

        def show(run: Run) -> None:
            bar.update(task, completed=run.round, loss=run.losses[-1], error=run.best_error)
            if not console.is_terminal:
                console.print(f"round {run.round}: loss {run.losses[-1]:.3f}, validation {run.errors[-1]:.4f}")

        run = train(be, net, course, seed, checkpoint, show)
    ordered = sorted(lines(scans()[2], course.testing, TESTING), key=lambda line: line.image.shape[1])
    readings = read(be, net, run.best, batches(ordered, course.batch))
    character, line = character_errors(readings), line_errors(readings)
    console.print(f"{backend}: {character:.2%} of {sum(len(t) for t, _ in readings)} test characters wrong, "
                  f"{line:.2%} of {len(readings)} lines, after {run.seconds:.0f} s of training")  # fmt: skip
    rnnspec.save(save_file, net, be.to_numpy(run.best))
    console.print(f"saved to {save_file}")
    if picture:
        draw(picture, run, ordered, readings)
    if json_file:
        figures = {"backend": backend, "seed": seed, "character_error_rate": character, "line_error_rate": line,
                   "seconds": run.seconds, "rounds": run.round, "losses": run.losses, "errors": run.errors}  # fmt: skip
        json_file.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
