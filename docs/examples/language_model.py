"""Learns to write the King James Bible character by character, and says how many bits it needs for each.

    python docs/examples/language_model.py --backend torch --picture language.png
    torchrun --nproc-per-node 2 docs/examples/language_model.py --backend torch --checkpoint course

The text is read as rows side by side, each a long stretch of it, piece by piece; a row's state goes from piece to
piece, so that what was read long ago can still be known. Gradients do not: inside a piece the losses of every 16
steps go back over 32, by `rnnspec.Windows`. A twentieth of the text chooses the best network, and another, the end,
is for testing only. Several workers share the rows; the first one prints and writes the files.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import shares
import typer
from course_bar import course_bar
from king_james import Text, texts, verses
from language_training import Checkpoint, Course, Run, Training, nats
from launched import launched
from ngrams import bigram, unigram
from rich.console import Console
from rich.table import Table

import rnnspec
from rnnspec import decoding

BEGINNING = "In the beginning "
AGREEMENT = 1e-5
"""How far, as a share, perplexities of the same weights may be apart: float32 rounds at 6e-8, thousands of times."""
QUICK = Course(hidden=48, updates=40, rates=(1e-2,) * 3, characters=200_000)


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


def draw(path: Path, run: Run, baselines: dict[str, float]) -> None:
    """Bits for each character, by round, and those of the baselines."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # loaded when a picture is asked for

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rounds = np.arange(1, len(run.losses) + 1)
    axes.plot(rounds, run.losses, label="training, on the way")
    axes.plot(rounds, run.held, label="validation")
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


def learn(console: Console, trainer: Training, folder: Path | None, every: int) -> Run:
    """Train to the end, from the checkpoint if there is one."""
    rounds, goes_on, kept = len(trainer.course.rates), trainer.begin(), lambda run: None
    if folder:
        checkpoint = Checkpoint(folder, trainer, every)
        goes_on, kept = checkpoint.restored(), checkpoint.keep
    if goes_on.updates:
        console.print(f"goes on after update {goes_on.updates}", highlight=False)
    with course_bar(console, "round", rounds, len(goes_on.losses)) as advance:
        return trainer.go_on(goes_on, kept, progress=lambda loss, held: advance(
            f"{loss:.3f} bits a character, validation {held:.3f}"))  # fmt: skip


def main(  # noqa: PLR0913, PLR0917  # one argument for each option
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values, and what is written.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    updates: Annotated[int | None, typer.Option(min=1, help="How many there are in a round.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Go on from what is in this folder, and write there.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Write a checkpoint after so many updates.")] = 50,
    temperature: Annotated[float, typer.Option(min=0.05, help="Of the samples: below 1 is careful.")] = 0.7,
    save: Annotated[Path, typer.Option(help="Where the trained network goes.")] = Path("language.safetensors"),
    check_backends: Annotated[list[str] | None, typer.Option("--check-backend", help="Read again there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the course of training.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to write."""
    course = QUICK if quick else Course()
    course = replace(course, updates=updates or course.updates)
    training, validation, testing = texts(verses()[: course.characters])
    with launched(backend) as be:
        console, start = Console(quiet=not shares.is_first(be)), time.process_time()
        trainer = Training(be, course, training, validation, seed)
        run = learn(console, trainer, checkpoint, every)
        seconds = time.process_time() - start
        net, params, ours = trainer.net, be.to_numpy(run.best), nats(be, trainer.net, run.best, testing)
        workers = 1 if be.group is None else be.group.size
    if not shares.is_first(be):
        return

    be = rnnspec.get_backend(backend)  # the others have left
    found = {"unigram": unigram(training, testing), "bigram": bigram(training, testing),
             f"LSTM of {course.hidden}": ours}  # fmt: skip
    sample = written(be, net, params, training.alphabet, 300, temperature, seed)
    console.print(comparison(found))
    console.print(f"{backend}: perplexity {np.exp(ours):.3f} on {len(testing.numbers)} characters, after "
                  f"{seconds:.0f} s of processor time; at temperature {temperature} it writes:\n\n{sample}\n",
                  highlight=False)  # fmt: skip
    figures: dict[str, Any] = {
        "backend": backend, "workers": workers, "seed": seed, "hidden": course.hidden, "seconds": seconds,
        "characters": [len(text.numbers) for text in (training, validation, testing)],
        "nats": found, "perplexity": float(np.exp(ours)), "bits": ours / np.log(2), "losses": run.losses,
        "validation": run.held, "temperature": temperature, "sample": sample}  # fmt: skip

    rnnspec.save(save, net, params)
    console.print(f"saved to {save}")
    figures["checks"] = [check(name, save, testing, float(np.exp(ours))) for name in check_backends or ()]
    for each in figures["checks"]:
        console.print("loaded on {backend}: perplexity {perplexity:.6f}".format(**each), highlight=False)
    if picture:
        draw(picture, run, {name: found[name] for name in ("unigram", "bigram")})
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if any(each["difference"] > AGREEMENT for each in figures["checks"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
