"""The plot of a gradient flow: the gradient of each state on the left, products of Jacobians on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnspec.analysis.half_flow import HalfFlow
from rnnspec.errors import UnsupportedError

__all__ = ["draw"]

COLOURS = ("#2f6db3", "#d9822b", "#3f9d62", "#b5548f", "#8a6fc9", "#4aa3a3")
INK, FAINT, PRODUCT = "#2b2b2b", "#9a9a9a", "#7a3fa0"
FARTHEST = 20.0
"""The powers of ten at which a line leaves the plot."""


def draw(halves: Sequence[HalfFlow], sentence: str, precision: str, unit: float) -> Any:
    """The figure of all halves with a sentence as its title; `unit` is the unit roundoff of the precision.

    Raises UnsupportedError where matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # importing it takes a second
    except ImportError as error:
        raise UnsupportedError("GradientFlow.plot()", "matplotlib must be installed", str(error),
                               "pip install matplotlib") from error  # fmt: skip
    rows = len(halves)
    figure = Figure(figsize=(10.5, 0.9 + 2.9 * rows), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, 2, squeeze=False)
    for (left, right), half in zip(grid, halves, strict=True):
        _gradients(left, half)
        _products(right, half, precision, unit)
    first, _, rest = sentence.partition("; ")
    figure.suptitle(f"{first[0].upper()}{first[1:]}\n{rest}", x=0.01, ha="left", fontsize=11.5, color=INK)
    return figure


def _gradients(axes: Any, half: HalfFlow) -> None:
    steps = np.arange(half.steps)
    for colour, (state, norms) in zip(COLOURS * 9, half.norms.items(), strict=False):
        _band(axes, steps, np.log10(np.where(norms > 0, norms, np.nan))[: half.steps], colour, f"dL/d{state}")
    _dress(axes, f"{half.place}: gradient of each state", "step, in processing order", "norm of the gradient")
    if len(half.norms) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor="linecolor", handlelength=1.2)
    else:
        axes.set_ylabel(f"norm of dL/d{next(iter(half.norms))}", color=INK, fontsize=9.5)


def _products(axes: Any, half: HalfFlow, precision: str, unit: float) -> None:
    back = np.arange(half.steps + 1)
    logs = half.products[: half.steps + 1]
    _band(axes, back, logs, PRODUCT, "product of Jacobians")
    lost = float(np.log10(unit))
    axes.axhline(0.0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    if half.horizon < half.steps:
        axes.axvline(half.horizon, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate("horizon", (half.horizon, 0.03), (4, 0), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=8.5, color=INK)  # fmt: skip
    _dress(axes, f"{half.place}: product of Jacobians", "steps back from the last", "largest singular value")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -FARTHEST), min(high, FARTHEST))
    if low < lost:
        axes.axhspan(-FARTHEST, lost, color="#f1e9f6", zorder=0, linewidth=0)
        axes.annotate(f"below the roundoff of {precision}", (0.015, lost), (0, -4), va="top",
                      xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5,
                      color=PRODUCT)  # fmt: skip


def _band(axes: Any, steps: Any, logs: Any, colour: str, label: str) -> None:
    """Draw the median over rows as a line, and their range behind it."""
    there = np.isfinite(logs).any(1)
    steps, logs = steps[there], logs[there]
    if len(steps):
        axes.fill_between(steps, np.nanmin(logs, 1), np.nanmax(logs, 1), color=colour, alpha=0.16, linewidth=0)
        axes.plot(steps, np.nanmedian(logs, 1), color=colour, linewidth=1.9, label=label, solid_capstyle="round")


def _dress(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(across, color=INK, fontsize=9.5)
    axes.set_ylabel(up, color=INK, fontsize=9.5)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
    middle = (low + high) / 2
    axes.set_ylim(min(low, middle - 1.2), max(high, middle + 1.2))
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"$10^{{{value:.0f}}}$")
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(axis="y", color="#ececec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
