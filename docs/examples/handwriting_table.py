"""The figures of the handwriting example: every cell with three seeds on NumPy, and read again on every other backend;
and the first epochs on all of them, from the same initial values.

    python docs/examples/handwriting_table.py --json docs/figures/handwriting.json
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from confusion import confusion
from elsewhere import check
from handwriting import CELLS, NAMES, Course, Digits, digits, logits, train
from rich.progress import track

import rnnspec

SEEDS = (0, 1, 2)
FIRST_EPOCHS = 5


Row = dict[str, Any]


def measure(be: rnnspec.Backend, name: str, training: Digits, testing: Digits) -> tuple[Row, list[Row]]:
    """One row of the table; and the last network, saved and read again on the other backends."""
    accuracies, seconds = [], []
    for seed in track(SEEDS, description=name):
        start = time.perf_counter()
        reader = train(be, CELLS[name], training, Course(), seed)
        seconds.append(time.perf_counter() - start)
        answers = logits(be, reader.net, reader.params, testing)
        accuracies.append(confusion(testing.labels, answers.argmax(-1), NAMES, "digit").accuracy)
    row = {"cell": name, "seeds": SEEDS, "test_accuracies": accuracies, "median": statistics.median(accuracies),
           "seconds": statistics.median(seconds)}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.safetensors"
        rnnspec.save(path, reader.net, reader.params)
        others = [other for other in rnnspec.backend_names() if other != be.name]
        return row, [{"trained_on": be.name, "cell": name,
                      **check(other, path, answers, lambda *loaded: logits(*loaded, testing))} for other in others]


def first_losses(training: Digits) -> list[Row]:
    """The mean loss of each of the first epochs, on every backend from one seed."""
    course, found = Course(epochs=FIRST_EPOCHS, rates=Course.rates[:1]), []
    for name, backend in product(CELLS, rnnspec.backend_names()):
        losses = train(rnnspec.get_backend(backend), CELLS[name], training, course, 0).losses
        found.append({"cell": name, "backend": backend, "losses": losses})
    return found


def main(json_file: Annotated[Path, typer.Option("--json")], backend: str = "numpy") -> None:
    training, testing = digits()
    be = rnnspec.get_backend(backend)
    found = [measure(be, name, training, testing) for name in CELLS]
    checks = [check for _, checks in found for check in checks]
    figures = {"backend": backend, "cells": [row for row, _ in found], "checks": checks,
               "first_epochs": first_losses(training)}  # fmt: skip
    json_file.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
