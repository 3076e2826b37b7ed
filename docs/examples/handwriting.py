"""Reads handwriting: scikit-learn's 1,797 scanned digits, each as 8 rows of 8 pixels, one row per step.

    python docs/examples/handwriting.py --backend numpy --cell gru --picture gru.png

A bidirectional layer reads a digit from the top and from the bottom, and an output layer names it. A quarter of the
digits is for testing only, by scikit-learn's own split with a fixed seed; `--seed` draws the initial values, the order
of training, and how each digit is turned, moved and stained before it is trained on. How far, the initial values, the
epochs and the learning rates were chosen by fourfold cross-validation on digits for training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from confusion import confusion, draw
from course_bar import course_bar
from elsewhere import check, is_same, said
from rich.console import Console
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import rnnspec

SPLIT_SEED = 0
NAMES = tuple("0123456789")
CLASSES = len(NAMES)
CELLS = {"lstm": rnnspec.cells.lstm, "gru": rnnspec.cells.gru, "elman": rnnspec.cells.elman}


@dataclass(frozen=True)
class Digits:
    """Images (time, batch, feature) with pixels of -1.6 (white) to 3.4 (black), and what they show."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Digits:
        return Digits(self.images[:, rows], self.labels[rows])


@dataclass(frozen=True)
class Course:
    """How a network is trained."""

    hidden: int = 64
    epochs: int = 80
    batch: int = 64
    rates: tuple[float, ...] = (3e-3, 3e-3, 3e-3, 3e-3, 3e-3, 2e-3, 1e-3, 1e-4)
    """The learning rate, one for each equal part of the course."""
    norm: float = 1.0
    noise: float = 1.0 / 3.2
    """Of the pixels that are trained on: one grey level of the scan."""
    angle: float = 8.0
    """The most that a digit is turned, in degrees."""
    shift: float = 0.5
    """The most that it is moved, in pixels, either way."""
    scale: float = 0.08
    """The most that it is made smaller or larger, either way, as a share."""
    shear: float = 0.1


@dataclass(frozen=True)
class Reader:
    """A trained network, and the mean loss of each epoch on the way."""

    net: rnnspec.Network
    params: Any
    losses: list[float]


def digits() -> tuple[Digits, Digits]:
    """The digits for training and those for testing, split once."""
    scans = load_digits()
    pixels = (scans.images - 5.0) / 3.2  # of 0..16; wide enough that initial gates of small weights feel them
    everything = Digits(np.swapaxes(pixels, 0, 1), scans.target)
    training, testing = train_test_split(np.arange(len(scans.target)), test_size=0.25, random_state=SPLIT_SEED)
    return everything.take(training), everything.take(testing)


def network(cell: rnnspec.Cell, hidden: int) -> rnnspec.Network:
    return rnnspec.Network(
        inputs=8,
        layers=[rnnspec.Layer(cell, hidden, "bidirectional", initial={"U": rnnspec.initialisers.Orthogonal()})],
        read=rnnspec.Last(),
        output=rnnspec.Dense(CLASSES),
        loss=rnnspec.losses.SoftmaxCrossEntropy(),
    )


def bent(images: np.ndarray, course: Course, rng: np.random.Generator) -> np.ndarray:
    """Images (row, digit, column) each turned, sheared, scaled and moved a little; white comes in from outside."""
    side, count, _ = images.shape
    turn, shear = np.deg2rad(rng.uniform(-1, 1, count) * course.angle), rng.uniform(-1, 1, count) * course.shear
    scale, shift = 1 + rng.uniform(-1, 1, (2, count)) * course.scale, rng.uniform(-1, 1, (2, count)) * course.shift
    middle = (side - 1) / 2
    row, column = np.mgrid[:side, :side][:, :, None, :] - middle
    rows = (np.cos(turn)[:, None] * row - np.sin(turn)[:, None] * column) * scale[0][:, None]
    columns = (np.sin(turn)[:, None] * row + np.cos(turn)[:, None] * column + shear[:, None] * row) * scale[1][:, None]
    digit = np.broadcast_to(np.arange(count)[:, None], rows.shape)
    places = [rows + middle + shift[0][:, None], digit, columns + middle + shift[1][:, None]]
    return map_coordinates(images, places, order=1, mode="constant", cval=images.min())


def train(
    be: rnnspec.Backend, cell: rnnspec.Cell, data: Digits, course: Course, seed: int,
    progress: Callable[[float], None] = lambda loss: None,
) -> Reader:
    """Train on shuffled batches of one size; what is left over of an epoch waits for another shuffle."""
    net = network(cell, course.hidden)
    params, rng, losses = be.asarray(net.init(seed)), np.random.default_rng(seed), []
    state, batches = None, len(data.labels) // course.batch
    for epoch in range(course.epochs):
        rate = course.rates[epoch * len(course.rates) // course.epochs]
        rule = rnnspec.chain(rnnspec.policies.ClipByGlobalNorm(course.norm), rnnspec.updates.Adam(rate))
        state = rule.init(params) if state is None else state
        shuffled = rng.permutation(len(data.labels))[: batches * course.batch].reshape(batches, course.batch)
        loss = 0.0
        for rows in shuffled:
            part = data.take(rows)
            images = bent(part.images, course, rng) + course.noise * rng.normal(size=part.images.shape)
            done = be.train_step(net, rule, params, state, images, part.labels)
            params, state, loss = done.params, done.rule_state, loss + float(done.loss_sum) / done.count
        losses.append(loss / batches)
        progress(losses[-1])
    return Reader(net, be.to_numpy(params), losses)


def logits(be: rnnspec.Backend, net: rnnspec.Network, params: Any, data: Digits) -> np.ndarray:
    return be.to_numpy(be.run(net, params, data.images).outputs)


def main(
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    cell: Annotated[str, typer.Option(help="lstm, gru or elman.")] = "lstm",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values and the order of training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    save: Annotated[Path, typer.Option(help="Where the trained network goes.")] = Path("handwriting.safetensors"),
    check_backend: Annotated[str | None, typer.Option(help="Load the network there, and read again.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the loss curve and the confusion matrix.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to read handwritten digits."""
    if cell not in CELLS:
        raise typer.BadParameter(f"choose one of {', '.join(CELLS)}", param_hint="--cell")
    console, be = Console(), rnnspec.get_backend(backend)
    course = Course(hidden=32, epochs=4, batch=32) if quick else Course()
    training, testing = digits()
    start = time.perf_counter()
    with course_bar(console, "epoch", course.epochs) as advance:
        reader = train(be, CELLS[cell], training, course, seed, lambda loss: advance(f"loss {loss:.4f}"))
    seconds = time.perf_counter() - start

    answers = logits(be, reader.net, reader.params, testing)
    found = confusion(testing.labels, answers.argmax(-1), NAMES, "digit")
    console.print(found.table())
    console.print(f"{cell} on {backend}: {found.right} of {found.of} test digits right, "
                  f"accuracy {found.accuracy:.4f}, trained in {seconds:.1f} s")  # fmt: skip
    figures: dict[str, Any] = {"test_accuracy": found.accuracy, "cell": cell, "backend": backend, "seed": seed,
                               "epochs": course.epochs, "losses": reader.losses, "seconds": seconds}  # fmt: skip

    rnnspec.save(save, reader.net, reader.params)
    console.print(f"saved to {save}")
    if check_backend:
        figures["check"] = check(check_backend, save, answers, lambda *loaded: logits(*loaded, testing))
        console.print(said(figures["check"]))
    if picture:
        draw(picture, reader.losses, found, f"{cell} on {backend}, test accuracy {found.accuracy:.3f}")
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if check_backend and not is_same(figures["check"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
