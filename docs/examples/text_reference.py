"""The outside reference: `torch.nn.LSTM` and `torch.nn.functional.ctc_loss`, of the same size, on the same lines.

    python docs/examples/text_reference.py --task digits --json docs/figures/text-reference.json

Initial values, batches and their order, clipping and rates are those of the example. PyTorch's layer has a second bias
for each gate, which begins at 0 and doubles that bias's step.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from text_course import Course, Run, is_over, looked_at
from text_lines import Batch, Task
from text_readings import Logits, character_errors, characters, line_errors, read
from text_tasks import EXERCISES
from text_training import TESTING, VALIDATION, practice

from rnnspec import convert


class Reader(torch.nn.Module):
    """Frames (time, batch, feature) to logits (time, batch, class), by PyTorch's layers alone."""

    def __init__(self, task: Task, course: Course, seed: int) -> None:
        super().__init__()
        net = course.network(task)
        parts = convert.to_torch(net, net.init(seed)).model.float()
        self.layers, self.output = parts.layers, parts.output

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            frames, _ = layer(frames)
        return self.output(frames)


def train(task: Task, course: Course, seed: int, progress: Callable[[Run], None]) -> tuple[Reader, Run]:
    """The course of the example, with `torch.optim.Adam`; the reader has the weights that validation likes best."""
    reader = Reader(task, course, seed)
    optimiser = torch.optim.Adam(reader.parameters())
    held = task.batches(task.validation(course.validation, VALIDATION), course.batch)
    run = Run(reader.state_dict(), None, None)
    while not is_over(course, run):
        wall, processor = time.perf_counter(), time.process_time()
        reader.load_state_dict(run.params)
        run = one_round(reader, optimiser, task, course, run, seed)
        run = looked_at(course, run, character_errors(read(logits(reader), held, task.alphabet)))
        run = replace(run, seconds=run.seconds + time.perf_counter() - wall,
                      processor_seconds=run.processor_seconds + time.process_time() - processor)  # fmt: skip
        progress(run)
    reader.load_state_dict(run.best)
    return reader, run


def one_round(
    reader: Reader, optimiser: torch.optim.Optimizer, task: Task, course: Course, run: Run, seed: int
) -> Run:
    optimiser.param_groups[0]["lr"] = course.stages[run.stage].rate
    losses = [step(reader, optimiser, part, course.norm) for part in practice(task, course, seed, run.round)]
    return replace(run, params=copy.deepcopy(reader.state_dict()), round=run.round + 1, steps=run.steps + len(losses),
                   losses=(*run.losses, float(np.mean(losses))))  # fmt: skip


def step(reader: Reader, optimiser: torch.optim.Optimizer, part: Batch, norm: float) -> float:
    """One step; the mean loss of a line before it, in nats."""
    optimiser.zero_grad()
    said = reader(torch.from_numpy(part.frames)).log_softmax(-1)
    labels = torch.from_numpy(part.labels)
    time, batch, classes = said.shape
    loss = torch.nn.functional.ctc_loss(said, labels.clamp(min=0), torch.full((batch,), time), (labels >= 0).sum(1),
                                        blank=classes - 1, reduction="sum") / batch  # fmt: skip
    loss.backward()
    torch.nn.utils.clip_grad_norm_(reader.parameters(), norm)
    optimiser.step()
    return float(loss.detach())


def logits(reader: Reader) -> Logits:
    def said(frames: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return reader(torch.from_numpy(frames)).numpy()

    return said


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Write the figures.")],
    task: Annotated[str, typer.Option(help="digits or words.")] = "digits",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
) -> None:
    """Train PyTorch's own layers as the example trains rnnspec's."""
    console, exercise = Console(), EXERCISES[task]
    course = exercise.quick if quick else exercise.course

    def show(run: Run) -> None:
        console.print(f"round {run.round}: loss {run.losses[-1]:.3f}, validation {run.errors[-1]:.4f}")

    reader, run = train(exercise.task, course, seed, show)
    lines = exercise.task.testing(course.testing, TESTING)
    readings = read(logits(reader), exercise.task.batches(lines, course.batch), exercise.task.alphabet)
    found = {
        "task": task, "backend": "torch.nn.LSTM", "character_error_rate": character_errors(readings),
        "characters": characters(readings), "line_error_rate": line_errors(readings), "lines": len(readings),
        "seconds": run.seconds,
        "processor_seconds": run.processor_seconds, "steps": run.steps, "rounds": run.round,
        "parameters": sum(p.numel() for p in reader.parameters()), "losses": run.losses, "errors": run.errors,
    }  # fmt: skip
    json_file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
