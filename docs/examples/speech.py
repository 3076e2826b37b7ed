"""Tells who speaks: nine men say the vowels /ae/, in 7 to 29 frames of 12 cepstra, and a network names the man.

    python docs/examples/speech.py --backend torch --picture speech.png

A bidirectional layer hears an utterance from both ends, each utterance in its own length, and an output layer names
the speaker from the two last states. What flows back from step to step is held to a small norm, by a policy of the
layer. The noise and the number of epochs were chosen by fivefold cross-validation on the utterances for training.
"""

from __future__ import annotations

import json
import statistics
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
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from utterances import CEPSTRA, SPEAKERS, Utterances, utterances

import rnnspec

NAMES = tuple(str(n + 1) for n in range(SPEAKERS))
CELLS = {"lstm": rnnspec.cells.lstm, "gru": rnnspec.cells.gru}
PUBLISHED = {"passing-through regions, Kudo et al. (1999)": 0.941,
             "hidden Markov model of 5 states, the same paper": 0.962}  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How a network is trained."""

    hidden: int = 64
    epochs: int = 60
    batch: int = 27
    rates: tuple[float, ...] = (3e-3, 3e-3, 3e-3, 1e-3, 3e-4)
    """The learning rate, one for each equal part of the course."""
    noise: float = 0.5
    """Added to the frames that are trained on, in deviations of each cepstrum."""
    step_norm: float = 0.1
    """The largest gradient of a row's state that goes from step to step."""
    norm: float = 1.0


@dataclass(frozen=True)
class Listener:
    """A trained network, and the mean loss of each epoch on the way."""

    net: rnnspec.Network
    params: Any
    losses: list[float]


def network(cell: rnnspec.Cell, course: Course) -> rnnspec.Network:
    held = rnnspec.policies.ClipStateByNorm(course.step_norm)
    return rnnspec.Network(
        inputs=CEPSTRA,
        layers=[rnnspec.Layer(cell, course.hidden, "bidirectional", gradient=held)],
        read=rnnspec.Last(),
        output=rnnspec.Dense(SPEAKERS),
        loss=rnnspec.losses.SoftmaxCrossEntropy(),
    )


def train(
    be: rnnspec.Backend, cell: rnnspec.Cell, data: Utterances, course: Course, seed: int,
    progress: Callable[[float], None] = lambda loss: None,
) -> Listener:
    """Train on shuffled batches of one size; what is left over of an epoch waits for another shuffle."""
    net = network(cell, course)
    params, rng, losses = be.asarray(net.init(seed)), np.random.default_rng(seed), []
    state, batches = None, len(data.speakers) // course.batch
    for epoch in range(course.epochs):
        rate = course.rates[epoch * len(course.rates) // course.epochs]
        rule = rnnspec.chain(rnnspec.policies.ClipByGlobalNorm(course.norm), rnnspec.updates.Adam(rate))
        state = rule.init(params) if state is None else state
        loss = 0.0
        for rows in rng.permutation(len(data.speakers))[: batches * course.batch].reshape(batches, course.batch):
            part = data.take(rows)
            frames = part.frames + course.noise * rng.normal(size=part.frames.shape)
            done = be.train_step(net, rule, params, state, frames, part.speakers, None, part.lengths)
            params, state, loss = done.params, done.rule_state, loss + float(done.loss_sum) / done.count
        losses.append(loss / batches)
        progress(losses[-1])
    return Listener(net, be.to_numpy(params), losses)


def logits(be: rnnspec.Backend, net: rnnspec.Network, params: Any, data: Utterances) -> np.ndarray:
    return be.to_numpy(be.run(net, params, data.frames, None, data.lengths).outputs)


def without_time(training: Utterances, testing: Utterances) -> float:
    """The accuracy of a linear model that is shown the mean frame of each utterance."""
    means = [part.frames.sum(0) / part.lengths[:, None] for part in (training, testing)]
    return float(LogisticRegression(max_iter=1000).fit(means[0], training.speakers).score(means[1], testing.speakers))


def comparison(cell: str, accuracies: list[float], linear: float) -> Table:
    table = Table("on the test utterances", "accuracy")
    table.add_row(f"{cell}, median of {len(accuracies)} seeds", f"{statistics.median(accuracies):.3f}")
    table.add_row("mean frame, logistic regression", f"{linear:.3f}")
    for name, accuracy in PUBLISHED.items():
        table.add_row(name, f"{accuracy:.3f}")
    return table


def main(
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    cell: Annotated[str, typer.Option(help="lstm or gru.")] = "gru",
    seeds: Annotated[int, typer.Option(min=1, help="How many networks are trained, each from its own seed.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    save: Annotated[Path, typer.Option(help="Where the first trained network goes.")] = Path("speech.safetensors"),
    check_backends: Annotated[list[str] | None, typer.Option("--check-backend", help="Listen again there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the loss curve and the confusion matrix.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to tell speakers by their vowels."""
    if cell not in CELLS:
        raise typer.BadParameter(f"choose one of {', '.join(CELLS)}", param_hint="--cell")
    console, be = Console(), rnnspec.get_backend(backend)
    course = Course(hidden=16, epochs=6, rates=(1e-2,)) if quick else Course()
    training, testing = utterances()
    start = time.process_time()
    with course_bar(console, "epoch", course.epochs * seeds) as advance:
        listeners = [train(be, CELLS[cell], training, course, seed, lambda loss: advance(f"loss {loss:.4f}"))
                     for seed in range(seeds)]  # fmt: skip
    seconds = (time.process_time() - start) / seeds

    answers = [logits(be, listener.net, listener.params, testing) for listener in listeners]
    found = [confusion(testing.speakers, answer.argmax(-1), NAMES, "speaker") for answer in answers]
    accuracies, linear = [each.accuracy for each in found], without_time(training, testing)
    console.print(found[0].table())
    console.print(comparison(cell, accuracies, linear))
    console.print(f"{cell} on {backend}: {found[0].right} of {found[0].of} test utterances right, trained in "
                  f"{seconds:.1f} s of processor time")  # fmt: skip
    figures: dict[str, Any] = {
        "backend": backend, "cell": cell, "seeds": seeds, "seconds": seconds, "losses": listeners[0].losses,
        "test_accuracies": accuracies, "test_accuracy": statistics.median(accuracies), "without_time": linear,
        "published": PUBLISHED, "confusion": found[0].counts.tolist()}  # fmt: skip

    rnnspec.save(save, listeners[0].net, listeners[0].params)
    console.print(f"saved to {save}")
    figures["checks"] = [check(name, save, answers[0], lambda *loaded: logits(*loaded, testing))
                         for name in check_backends or ()]  # fmt: skip
    for each in figures["checks"]:
        console.print(said(each))
    if picture:
        draw(picture, listeners[0].losses, found[0], f"{cell} on {backend}, test accuracy {accuracies[0]:.3f}")
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if not all(map(is_same, figures["checks"])):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
