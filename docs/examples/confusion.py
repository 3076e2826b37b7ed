"""How often each class was taken for each other one: counted, as a table, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table


@dataclass(frozen=True)
class Confusion:
    """Counts (class, answer), the names of the classes, and what they are."""

    counts: np.ndarray
    names: tuple[str, ...]
    what: str

    @property
    def right(self) -> int:
        return int(np.trace(self.counts))

    @property
    def of(self) -> int:
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        return self.right / self.of

    def table(self) -> Table:
        table = Table("", *self.names, title=f"{self.what} (row) taken for (column)")
        for n, row in enumerate(self.counts):
            cells = [("[green]" if answer == n else "[red]") + str(k) if k else "·" for answer, k in enumerate(row)]
            table.add_row(f"[bold]{self.names[n]}", *cells)
        return table

    def draw(self, axes: Any) -> None:
        axes.imshow(np.log1p(self.counts), cmap="Greys")
        places = range(len(self.names))
        axes.set(xlabel="taken for", ylabel=self.what, xticks=places, yticks=places)
        axes.set_xticklabels(self.names)
        axes.set_yticklabels(self.names)
        for (truth, answer), k in np.ndenumerate(self.counts):
            if k:
                color = "white" if truth == answer else "black"
                axes.text(answer, truth, str(k), ha="center", va="center", color=color)


def confusion(truth: np.ndarray, answers: np.ndarray, names: tuple[str, ...], what: str) -> Confusion:
    """Of the classes' numbers (count,) and of the answers'."""
    counts = np.zeros((len(names),) * 2, int)
    np.add.at(counts, (truth, answers), 1)
    return Confusion(counts, names, what)


def draw(path: Path, losses: Sequence[float], found: Confusion, title: str) -> None:
    """The loss curve and the confusion matrix, side by side."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # loaded when a picture is asked for

    figure = Figure(figsize=(9, 4), layout="constrained")
    curve, matrix = figure.subplots(1, 2)
    curve.semilogy(np.arange(1, len(losses) + 1), losses)
    curve.set(xlabel="epoch", ylabel="mean training loss (nats)", title=title)
    found.draw(matrix)
    figure.savefig(path, dpi=150)
