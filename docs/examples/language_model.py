"""Learns to write the King James Bible character by character, and says how many bits it needs for each.

    python docs/examples/language_model.py --backend torch --picture language.png

The text is read as rows side by side, each a long stretch of it, piece by piece; a row's state goes from piece to
piece, so that what was read long ago can still be known. Gradients do not: inside a piece the losses of every 16
steps go back over 32, by `rnnspec.Windows`. A twentieth of the text chooses the best network, and another, the end,
is for testing only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from course_bar import course_bar
from king_james import Text, texts, verses
from ngrams import bigram, unigram
from rich.console import Console
from rich.table import Table
from scipy.special import log_softmax

import rnnspec
from rnnspec import decoding, initialisers

BEGINNING = "In the beginning "
WINDOWS = rnnspec.Windows(every=16, back=32)
AGREEMENT = 1e-5
"""How far, as a share, perplexities of the same weights may be apart: float32 rounds at 6e-8, thousands of times."""


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


@dataclass(frozen=True)
class Model:
    """The best network of a course, and the bits of each round: of training on the way, of validation after it."""

    net: rnnspec.Network
    params: Any
    losses: list[float]
    held: list[float]


def network(course: Course, characters: int) -> rnnspec.Network:
    # The rows of a character begin as one-hot vectors. A map sees one of their columns: it is drawn wider than usual.
    initial = {"W": initialisers.Normal(0.3), "U": initialisers.Orthogonal(), "b.f": initialisers.Constant(1.0)}
    layer = rnnspec.Layer(rnnspec.cells.lstm, course.hidden, initial=initial)
    letters = rnnspec.Embedding(characters, characters, {"E": initialisers.Identity()})
    return rnnspec.Network(letters, [layer], output=rnnspec.Dense(characters),
                           loss=rnnspec.losses.SoftmaxCrossEntropy())  # fmt: skip


def pieces(text: Text, rows: int, steps: int) -> Iterator[Piece]:
    """A text once through: as many rows of equal length, read side by side; the last piece may be shorter."""
    length = (len(text.numbers) - 1) // rows
    given, following = (text.numbers[late : late + rows * length].reshape(rows, length).T for late in (0, 1))
    for low in range(0, length, steps):
        yield Piece(given[low : low + steps], following[low : low + steps], begins=low == 0)


def again_and_again(text: Text, rows: int, steps: int) -> Iterator[Piece]:
    while True:
        yield from (piece for piece in pieces(text, rows, steps) if len(piece.targets) == steps)


def nats(be: rnnspec.Backend, net: rnnspec.Network, params: Any, text: Text, rows: int = 32, steps: int = 128) -> float:
    """The mean of -ln p(character | all before it in its row); its exponential is the perplexity."""
    total, count, state, own = 0.0, 0, None, be.asarray(params)
    for piece in pieces(text, rows, steps):
        found = be.run(net, own, piece.inputs, state)
        state = found.state
        log_p = log_softmax(be.to_numpy(found.outputs).astype(np.float64), axis=-1)
        total -= np.take_along_axis(log_p, piece.targets[..., None], -1).sum()
        count += piece.targets.size
    return float(total / count)


def train(
    be: rnnspec.Backend, course: Course, training: Text, validation: Text, seed: int,
    progress: Callable[[float, float], None] = lambda loss, held: None,
) -> Model:
    net = network(course, len(training.alphabet))
    params, rule_state, state = be.asarray(net.init(seed)), None, None
    reading = again_and_again(training, course.rows, course.steps)
    best, losses, held = params, [], []
    for rate in course.rates:
        rule = rnnspec.chain(rnnspec.policies.ClipByGlobalNorm(course.norm), rnnspec.updates.Adam(rate))
        rule_state, total, count = rule_state or rule.init(params), 0.0, 0
        for piece in islice(reading, course.updates):
            state = None if piece.begins else state
            step = course.windows.value_and_grad(be, net, params, piece.inputs, piece.targets, state)
            done = be.update(net, rule, params, rule_state, step)
            params, rule_state, state = done.params, done.rule_state, done.state
            total, count = total + float(done.loss_sum), count + done.count
        losses.append(total / count / np.log(2))
        held.append(nats(be, net, params, validation) / np.log(2))
        best = params if held[-1] == min(held) else best
        progress(losses[-1], held[-1])
    return Model(net, be.to_numpy(best), losses, held)


def written(
    be: rnnspec.Backend, net: rnnspec.Network, params: Any, alphabet: str, count: int, temperature: float, seed: int = 0
) -> str:
    """The beginning and `count` characters more, each drawn from softmax(logits / temperature)."""
    choose = decoding.sampled(temperature, np.random.default_rng(seed))
    prompt = [alphabet.index(character) for character in BEGINNING]
    steps = decoding.feedback(be.bound(net, params), [prompt], choose)
    return BEGINNING + "".join(alphabet[drawn] for (drawn,) in islice(steps, count))


def check(name: str, path: Path, text: Text, expected: float) -> dict[str, Any]:
    """Load a saved network, read the text on another backend, and compare the perplexities."""
    found = float(np.exp(nats(rnnspec.get_backend(name), *rnnspec.load(path), text)))
    return {"backend": name, "perplexity": found, "difference": abs(found - expected) / expected}


def draw(path: Path, model: Model, baselines: dict[str, float]) -> None:
    """Bits for each character, by round, and those of the baselines."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # loaded when a picture is asked for

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rounds = np.arange(1, len(model.losses) + 1)
    axes.plot(rounds, model.losses, label="training, on the way")
    axes.plot(rounds, model.held, label="validation")
    for name, found in baselines.items():
        axes.axhline(found / np.log(2), linestyle="--", color="grey")
        axes.text(rounds[-1], found / np.log(2), name, ha="right", va="bottom", color="grey")
    axes.set(xlabel="round", ylabel="bits for each character")
    axes.legend()
    figure.savefig(path, dpi=120)


def comparison(named: dict[str, float]) -> Table:
    table = Table("on the test text", "perplexity", "bits for each character")
    for name, found in named.items():
        table.add_row(name, f"{np.exp(found):.3f}", f"{found / np.log(2):.3f}")
    return table


def main(
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values, and what is written.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    temperature: Annotated[float, typer.Option(min=0.05, help="Of the samples: below 1 is careful.")] = 0.7,
    save: Annotated[Path, typer.Option(help="Where the trained network goes.")] = Path("language.safetensors"),
    check_backends: Annotated[list[str] | None, typer.Option("--check-backend", help="Read again there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the course of training.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to write."""
    console, be = Console(), rnnspec.get_backend(backend)
    course = Course()
    if quick:
        course = Course(hidden=48, updates=40, rates=(1e-2,) * 3, characters=200_000)
    training, validation, testing = texts(verses()[: course.characters])
    start = time.process_time()
    with course_bar(console, "round", len(course.rates)) as advance:
        model = train(be, course, training, validation, seed,
                      lambda loss, held: advance(f"{loss:.3f} bits a character, validation {held:.3f}"))  # fmt: skip
    seconds = time.process_time() - start

    found = {"unigram": unigram(training, testing), "bigram": bigram(training, testing),
             f"LSTM of {course.hidden}": nats(be, model.net, model.params, testing)}  # fmt: skip
    *_, ours = found.values()
    sample = written(be, model.net, model.params, training.alphabet, 300, temperature, seed)
    console.print(comparison(found))
    console.print(f"{backend}: perplexity {np.exp(ours):.3f} on {len(testing.numbers)} characters, after "
                  f"{seconds:.0f} s of processor time; at temperature {temperature} it writes:\n\n{sample}\n",
                  highlight=False)  # fmt: skip
    figures: dict[str, Any] = {
        "backend": backend, "seed": seed, "hidden": course.hidden, "seconds": seconds,
        "characters": [len(text.numbers) for text in (training, validation, testing)],
        "nats": found, "perplexity": float(np.exp(ours)), "bits": ours / np.log(2), "losses": model.losses,
        "validation": model.held, "temperature": temperature, "sample": sample}  # fmt: skip

    rnnspec.save(save, model.net, model.params)
    console.print(f"saved to {save}")
    figures["checks"] = [check(name, save, testing, float(np.exp(ours))) for name in check_backends or ()]
    for each in figures["checks"]:
        console.print("loaded on {backend}: perplexity {perplexity:.6f}".format(**each), highlight=False)
    if picture:
        draw(picture, model, {name: found[name] for name in ("unigram", "bigram")})
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if any(each["difference"] > AGREEMENT for each in figures["checks"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
