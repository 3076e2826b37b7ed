"""The text example on every backend: the first losses from the same initial values, the time of a step, and the same
weights read again.

    python docs/examples/text_table.py --task digits --weights digits.safetensors --json docs/figures/text-backends.json
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from text_course import Course
from text_lines import Batch, Task
from text_readings import Reading, character_errors, logits, read
from text_tasks import EXERCISES
from text_training import TESTING, begin, practice

import rnnspec


@dataclass(frozen=True)
class Found:
    """The mean loss of a line in each of the first steps, the processor's seconds for one, and readings."""

    losses: list[float]
    seconds: float
    readings: list[Reading]


def alike(task: Task, course: Course, steps: int) -> list[Batch]:
    """The first batches of the commonest width, so that a backend that compiles has one program to make."""
    given = list(practice(task, course, 0, 0))
    (width, _), *_ = Counter(part.lines[0].width for part in given).most_common()
    return list(islice((part for part in given if part.lines[0].width == width), steps))


def first_steps(be: rnnspec.Backend, task: Task, course: Course, parts: Sequence[Batch]) -> tuple[list[float], float]:
    """The losses from the initial values on, and the median time of a step."""
    net, run, losses, seconds = course.network(task), begin(be, task, course, 0), [], []
    params, state = run.params, run.state
    for part in parts:
        start = time.process_time()
        done = be.train_step(net, course.rule(0), params, state, part.frames, part.labels)
        losses.append(float(done.loss_sum) / done.count)
        params, state = done.params, done.rule_state
        seconds.append(time.process_time() - start)
    return losses, statistics.median(seconds)


def measured(
    name: str, task: Task, course: Course, parts: Sequence[Batch], weights: Path, testing: Sequence[Batch]
) -> Found:
    """Train on some batches, and read others with weights from a file."""
    be = rnnspec.get_backend(name)
    losses, _ = first_steps(be, task, course, parts)
    _, seconds = first_steps(be, task, course, parts)  # what had to be compiled is there
    net, params = rnnspec.load(weights)
    return Found(losses, seconds, read(logits(be, net, be.asarray(params)), testing, task.alphabet))


def main(
    weights: Annotated[Path, typer.Option(help="A network of the task, as text_recognition.py saves it.")],
    json_file: Annotated[Path, typer.Option("--json", help="Write the figures.")],
    task: Annotated[str, typer.Option(help="digits or words.")] = "digits",
    quick: Annotated[bool, typer.Option("--quick", help="As the network was trained.")] = False,
    steps: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Run every backend that is there."""
    exercise = EXERCISES[task]
    course = exercise.quick if quick else exercise.course
    parts = alike(exercise.task, course, steps)
    testing = exercise.task.batches(exercise.task.testing(course.testing, TESTING), course.batch)
    names = track(rnnspec.backend_names())
    found = {name: measured(name, exercise.task, course, parts, weights, testing) for name in names}
    reference: Any = found["numpy"].readings
    rows = [{"backend": name, "losses": row.losses, "processor_seconds_of_a_step": row.seconds,
             "character_error_rate": character_errors(row.readings), "lines": len(row.readings),
             "same_answers": sum(a.answer == b.answer for a, b in zip(row.readings, reference, strict=True))}
            for name, row in found.items()]  # fmt: skip
    shape = {"time": parts[0].frames.shape[0], "batch": parts[0].frames.shape[1], "hidden": course.hidden}
    json_file.write_text(json.dumps({"task": task, "shape": shape, "backends": rows}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
