"""A page of readings with their errors, under the course of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from text_course import Run
from text_readings import Reading

ROWS, COLUMNS = 10, 3


def draw(path: Path, run: Run, readings: Sequence[Reading]) -> None:
    """Wrong readings on two thirds of the page, right ones on the rest, both of lines from short to long."""
    wrong = _spread([reading for reading in readings if reading.edits], ROWS * COLUMNS * 2 // 3)
    right = _spread([reading for reading in readings if not reading.edits], ROWS * COLUMNS - len(wrong))
    figure = Figure(figsize=(12, 11), layout="constrained")
    grid = figure.add_gridspec(ROWS + 2, COLUMNS)
    _draw_course(figure.add_subplot(grid[:2, :]), run)
    for place, reading in enumerate(wrong + right):
        _draw_reading(figure.add_subplot(grid[2 + place // COLUMNS, place % COLUMNS]), reading)
    figure.savefig(path, dpi=90)


def _spread(readings: Sequence[Reading], most: int) -> list[Reading]:
    """At most so many, equally far from one another."""
    places = np.linspace(0, len(readings) - 1, min(most, len(readings))).astype(int)
    return [readings[place] for place in places]


def _draw_course(axes, run: Run) -> None:
    rounds = np.arange(1, len(run.losses) + 1)
    axes.semilogy(rounds, run.losses, label="training loss (nats a line)")
    axes.semilogy(rounds, np.maximum(run.errors, 1e-4), label="validation, character error rate")
    axes.set(xlabel="round")
    axes.legend()


def _draw_reading(axes, reading: Reading) -> None:
    axes.imshow(reading.line.image, cmap="Greys", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    said = reading.answer or "nothing"
    title = f"{said} for {reading.line.text}" if reading.edits else said
    axes.set_title(title, fontsize=9, color="tab:red" if reading.edits else "black", parse_math=False)
