"""The charts of the page, as SVG to be put into it; the empty text where there is nothing to show.

Ink is the colour of the page's text, so that a chart reads on a light page and on a dark one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

__all__ = ["kappas", "kills", "speeds"]

INK = "#010203"
"""A colour that nothing else has, exchanged for the page's own."""

COLOURS = ("#3b82c4", "#d9822b", "#3f9d62", "#b5548f", "#8a6fc9", "#8c8c40", "#c4493b", "#4aa3a3")
LINEAR, MOST = 50.0, 1e9
"""From what ratio on the axis is logarithmic, and where points stand that are beyond, as infinite ones are."""
VERDICTS = {"faster": "#3f9d62", "equal": "#3b82c4", "slower": "#c4493b", "inconclusive": "#9a9a9a"}
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "rnnspec", "font.family": "sans-serif", "font.size": 10,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def kappas(document: dict[str, Any]) -> Markup:
    """For each backend and precision, the largest ratio of error to yardstick of every property that compares."""
    named = [
        (f"{e['name']} {e['precision']}", [min(p["kappa_max"], MOST) for p in e["properties"] if p["kappa_max"] > 0])
        for e in document["backends"]
    ]
    rows = [(name, found) for name, found in named if found]
    wide = any(max(found) > LINEAR for _, found in rows)

    def draw(axes: Axes) -> None:
        for i, (_, found) in enumerate(rows):
            spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(found))
            axes.scatter(found, i + spread, s=14, color=COLOURS[i % len(COLOURS)], alpha=0.7)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=9))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_xlim(left=0)
        axes.set_xlabel("kappa: the largest error in units of the yardstick, one point for each property")

    return _svg(draw, 0.5 * len(rows) + 0.9) if rows else Markup()


def speeds(document: dict[str, Any]) -> Markup:
    """Time relative to the peer's, on a logarithmic axis; left of 1 is faster."""
    rows = [(e["name"], row) for e in document["backends"] for row in e["speed"] if row["peer"]]

    def draw(axes: Axes) -> None:
        for i, (_, row) in enumerate(rows):
            low, high = row["ci"]
            axes.plot((low, high), (i, i), color=VERDICTS[row["verdict"]], linewidth=2)
            axes.plot(row["ratio_peer"], i, "o", color=VERDICTS[row["verdict"]], markersize=5)
        axes.axvline(1, color=INK, linewidth=0.8)
        names = [f"{name} {r['cell']} {r['mode']} {_shape(r['shape'])} / {r['peer']}" for name, r in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(y=0.5 / len(rows), x=0.1)
        axes.set_xlabel("time / the peer's time: " + ", ".join(f"{v}" for v in VERDICTS))

    return _svg(draw, 0.24 * len(rows) + 0.9) if rows else Markup()


def kills(self_test: dict[str, Any]) -> Markup:
    """How many mutants of each kind each law was the first to detect."""
    killed = self_test.get("kills", {})
    if not killed:
        return Markup()
    kinds = sorted({_kind(name) for name in killed})
    laws = sorted({law for law, _ in killed.values()})
    counts = np.zeros((len(kinds), len(laws)), int)
    for name, (law, _) in killed.items():
        counts[kinds.index(_kind(name)), laws.index(law)] += 1

    def draw(axes: Axes) -> None:
        axes.imshow(np.where(counts, np.log1p(counts), np.nan), cmap="Blues", vmin=-1, vmax=8, aspect="auto")
        for (i, j), n in np.ndenumerate(counts):
            if n:
                axes.text(j, i, str(n), ha="center", va="center", fontsize=8, color="#000000")
        axes.set_xticks(range(len(laws)), laws, rotation=90)
        axes.set_yticks(range(len(kinds)), kinds)

    return _svg(draw, 0.3 * len(kinds) + 1.2)


def _kind(mutant: str) -> str:
    """The kind of a mutant: what stands before the colon, or the last word in brackets."""
    bracketed = re.search(r"\((\w+)\)$", mutant)
    return f"equations ({bracketed[1]})" if bracketed else mutant.partition(":")[0]


def _shape(shape: dict[str, int]) -> str:
    return ",".join(str(shape[axis]) for axis in ("batch", "time", "inputs", "hidden"))


def _svg(draw: Callable[[Axes], None], height: float) -> Markup:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, height), layout="constrained")
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :].replace(INK, "currentColor"))  # matplotlib escapes its texts
