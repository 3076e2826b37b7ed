"""Reads lines of handwritten digits, or words in printed and handwritten fonts.

    python docs/examples/text_recognition.py --task digits --backend torch --picture lines.png

Two bidirectional LSTM layers read the columns of pixels from both sides. At every frame of two columns, an output layer
scores each character and blank. Nobody tells the network where a character ends: CTC finds the alignment. Every
training line is new. The network with the smallest validation error is kept, and a learning rate ends when that error
stops falling. A training that is killed continues from its last checkpoint, and ends with the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from text_course import Course, Run
from text_lines import Task
from text_picture import draw
from text_readings import Reading, character_errors, characters, errors_by_hand, line_errors, logits, read
from text_tasks import EXERCISES
from text_training import TESTING, train

import rnnspec
from rnnspec.tree import leaves


def watched(
    console: Console, be: rnnspec.Backend, task: Task, course: Course, seed: int, checkpoint: Path | None
) -> Run:
    """Train under a bar, or with a line for every round where there is no terminal."""
    said = TextColumn("loss {task.fields[loss]:.3f}, validation error {task.fields[error]:.4f}")
    columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), said, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        whole = bar.add_task("", total=sum(stage.rounds for stage in course.stages), loss=float("nan"), error=1.0)

        def show(run: Run) -> None:
            bar.update(whole, completed=run.round, loss=run.losses[-1], error=run.best_error)
            if not console.is_terminal:
                console.print(f"round {run.round}: loss {run.losses[-1]:.3f}, validation {run.errors[-1]:.4f}")

        return train(be, task, course, seed, checkpoint, show)


def figures(be: rnnspec.Backend, net: rnnspec.Network, run: Run, readings: Sequence[Reading]) -> dict[str, Any]:
    """What is worth keeping of a run."""
    return {
        "backend": be.name, "character_error_rate": character_errors(readings), "characters": characters(readings),
        "line_error_rate": line_errors(readings), "lines": len(readings), "seconds": run.seconds,
        "processor_seconds": run.processor_seconds, "steps": run.steps, "rounds": run.round,
        "errors_by_hand": errors_by_hand(readings),
        "parameters": sum(array.size for _, array in leaves(net.init(0))), "hidden": net.layers[0].hidden,
        "losses": run.losses, "errors": run.errors,
    }  # fmt: skip


def main(
    task: Annotated[str, typer.Option(help="digits or words.")] = "digits",
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values and the training lines.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Written after every round; gone on from, if there.")] = None,
    save_file: Annotated[Path, typer.Option("--save", help="Where the network goes.")] = Path("lines.safetensors"),
    picture: Annotated[Path | None, typer.Option(help="Draw the course of training, and readings.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Learn to read lines, and say how many characters of lines never seen are read wrongly."""
    if task not in EXERCISES:
        raise typer.BadParameter(f"must be one of {', '.join(EXERCISES)}, got {task}", param_hint="--task")
    console, be, exercise = Console(), rnnspec.get_backend(backend), EXERCISES[task]
    course = exercise.quick if quick else exercise.course
    net, run = course.network(exercise.task), watched(console, be, exercise.task, course, seed, checkpoint)
    lines = exercise.task.testing(course.testing, TESTING)
    readings = read(logits(be, net, run.best), exercise.task.batches(lines, course.batch), exercise.task.alphabet)
    found = {"task": task, "seed": seed, **figures(be, net, run, readings)}
    console.print(f"{backend}: {character_errors(readings):.2%} of {characters(readings)} test characters wrong, "
                  f"{line_errors(readings):.2%} of {len(readings)} lines, after {run.seconds:.0f} s of training")
    rnnspec.save(save_file, net, be.to_numpy(run.best))
    console.print(f"saved to {save_file}")
    if picture:
        draw(picture, run, readings)
    if json_file:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
