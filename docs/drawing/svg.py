"""SVG as text: the same numbers give the same bytes, on every machine and with every version of any library.

Pictures have no background, mid-grey text and mid-tone fills, so that they can be read on white and on black.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

__all__ = ["FONT", "GREY", "INK", "curve", "document", "element", "text", "width_of"]

INK, GREY = "#7a7a7a", "#9a9a9a"
"""Text and axes; lines that stand behind them. Either differs enough from white and from black."""
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def element(tag: str, content: str = "", **attributes: object) -> str:
    """One element; `font_size=12` is `font-size="12"`, and `class_` is `class`."""
    written = "".join(f" {name.rstrip('_').replace('_', '-')}={quoteattr(spelt(value))}"
                      for name, value in attributes.items())  # fmt: skip
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(content: str, x: float, y: float, **attributes: object) -> str:
    """A line of text, in the colour of text unless a fill is given."""
    return element("text", escape(content), x=x, y=y, **({"fill": INK} | attributes))


def spelt(value: object) -> str:
    """A number with one decimal at most; anything else as it stands."""
    return f"{round(value, 1) + 0.0:g}" if isinstance(value, float) else str(value)


def curve(points: Sequence[tuple[float, float]]) -> str:
    """The path through points from left to right: level at its ends, smooth between.

    The second point and the one before the last take the slope of what lies between them, so that nothing overshoots.
    """
    slopes, last = [0.0] * len(points), len(points) - 1
    for i in range(1, last):
        (x, y), (to_x, to_y) = points[i if i == 1 else i - 1], points[i if i == last - 1 else i + 1]
        slopes[i] = (to_y - y) / (to_x - x) if to_x > x else 0.0
    parts = [f"M{spelt(points[0][0])} {spelt(points[0][1])}"]
    for i, ((x, y), (to_x, to_y)) in enumerate(itertools.pairwise(points)):
        reach = (to_x - x) / (3 if slopes[i] or slopes[i + 1] else 2)
        bends = (x + reach, y + reach * slopes[i], to_x - reach, to_y - reach * slopes[i + 1], to_x, to_y)
        parts.append("C" + " ".join(map(spelt, bends)))
    return "".join(parts)


def width_of(content: str, size: float) -> float:
    """About how wide a line of text is, in a font that nobody here can measure."""
    return 0.57 * size * len(content)


def document(width: float, height: float, title: str, body: Iterable[str], shown_width: float | None = None) -> str:
    """The whole file; `shown_width` is how wide it stands on a page, its own width unless given."""
    scale = (shown_width or width) / width
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{spelt(width * scale)}" height="{spelt(height * scale)}" '
            f'viewBox="0 0 {spelt(width)} {spelt(height)}" font-family="{FONT}" role="img">')  # fmt: skip
    return "\n".join([head, element("title", escape(title)), *body, "</svg>", ""])
