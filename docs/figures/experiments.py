"""Draws the pictures of the runs in experiments.json: the error while training, for each task.

    python docs/figures/experiments.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

HERE = Path(__file__).parent
COLOURS = {"tanh Elman": "tab:gray", "ReLU Elman": "tab:green", "LSTM": "tab:blue", "GRU": "tab:orange"}
FILES = {"adding, T = 100": "adding-100", "adding, T = 200": "adding-200", "copying, T = 100": "copying-100"}
MEASURES = {"adding": "mean squared error", "copying": "cross-entropy of a step (nats)"}
SOLVED = 0.01


def picture(task: str, rows: list[dict[str, Any]]) -> Figure:
    """One panel for each way to clip, one line for each cell; a cross where a run stops being finite."""
    ways = [norm for norm in (1.0, None) if any(row["norm"] == norm for row in rows)]
    figure = Figure(figsize=(5.2 * len(ways), 3.6), layout="constrained")
    panels = figure.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for axes, norm in zip(panels, ways, strict=True):
        own = [row for row in rows if row["norm"] == norm]
        for row in own:
            draw(axes, row)
        axes.axhline(own[0]["chance"], color="black", linestyle=":", linewidth=1)
        axes.annotate("no memory", (1, own[0]["chance"]), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axes.axhline(SOLVED, color="black", linestyle=":", linewidth=1)
        axes.annotate("solved", (1, SOLVED), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axes.set(title=f"{task}, {'not clipped' if norm is None else 'clipped'}", xlabel="training step", yscale="log",
                 ylim=(2e-3, 2), xlim=(0, max(row["steps"] for row in rows)))  # fmt: skip
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(MEASURES[task.split(",", maxsplit=1)[0]])
    panels[0].legend(loc="upper center", ncols=4, fontsize=8, handlelength=1.2, columnspacing=1)
    return figure


def draw(axes: Any, row: dict[str, Any]) -> None:
    pairs = [(look, error) for look, error in zip(row["looks"], row["errors"], strict=True) if error is not None]
    colour = COLOURS[row["cell"]]
    axes.plot(*zip(*pairs, strict=True) if pairs else ([], []), color=colour, label=row["cell"], linewidth=1.5)
    if row["diverged"]:
        axes.plot(row["step"], 1.5, "x", color=colour, clip_on=False)


if __name__ == "__main__":
    found = json.loads((HERE / "experiments.json").read_text())["runs"]
    for task, name in FILES.items():
        own = [row for row in found if row["task"] == task]
        if own:
            picture(task, own).savefig(HERE / f"{name}.png", dpi=90)
