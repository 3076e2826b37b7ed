"""Three plots: marks in rows, bars, and lines. Every series has a colour and a shape, so that either tells it.

The colours are told apart in the common forms of colour blindness, after Okabe and Ito (2008), and are dark enough for
white paper and light enough for black.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drawing.svg import GREY, INK, document, element, text, width_of

__all__ = ["Axis", "Row", "bars", "lines", "marks"]

COLOURS = ("#1a7fc1", "#d55e00", "#009e73", "#b45f96", "#a67c00", "#5b7f95")
WIDE, DEEP, ROW, TITLE, MARGIN, SIZE = 440.0, 230.0, 19.0, 26.0, 10.0, 12.0
TICKS, CROWDED = 9, 12


@dataclass(frozen=True)
class Axis:
    """One axis: what it says, whether it is logarithmic, and the lines to hold values against, with what they mean."""

    says: str
    log: bool = False
    lines: Mapping[float, str] = field(default_factory=dict)
    unit: str = ""

    def scale(self, values: Sequence[float], length: float) -> Scale:
        """The scale that all values and lines fit on."""
        found = [*values, *self.lines]
        if not self.log:
            return Scale(0.0, 1.05 * max(found), length, False)
        low, high = min(found), max(found)
        room = (high / low) ** 0.06
        return Scale(low / room, high * room, length, True)


@dataclass(frozen=True)
class Scale:
    """From a value to a place between 0 and the length."""

    low: float
    high: float
    length: float
    log: bool

    def __call__(self, value: float) -> float:
        if self.log:
            return self.length * math.log(value / self.low) / math.log(self.high / self.low)
        return self.length * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values, no more than can be read."""
        if not self.log:
            step = next(size for size in steps() if self.high / size <= TICKS)
            return [step * i for i in range(int(self.high / step) + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [part * 10.0**power for power in powers for part in parts]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= TICKS:
                return found
        return found[:: math.ceil(len(found) / TICKS)]


def steps() -> Iterator[float]:
    """1, 2, 5, 10, ..., from far below to far above all that is measured."""
    return (part * 10.0**power for power in range(-12, 12) for part in (1, 2, 5))


@dataclass(frozen=True)
class Row:
    """A line of marks: the values of each series. A row without values is a heading."""

    says: str
    values: Mapping[str, Sequence[float]]


def marks(title: str, rows: Sequence[Row], axis: Axis) -> str:
    """Marks in rows on one axis, with a legend where there is more than one series."""
    series = list(dict.fromkeys(name for row in rows for name in row.values))
    indent = 0.0 if all(row.values for row in rows) else 14.0
    left = MARGIN + indent + max(width_of(row.says, SIZE) for row in rows if row.values) + 12
    scale = axis.scale([value for row in rows for found in row.values.values() for value in found], WIDE)
    top, height = TITLE + 22 * (len(series) > 1) + 14 * bool(axis.lines), ROW * len(rows)
    body = [heading(title), *(legend(series, MARGIN, TITLE + 8) if len(series) > 1 else []),
            *across(axis, scale, left, top, height)]  # fmt: skip
    faint = 0.85 if max(len(found) for row in rows for found in row.values.values()) <= CROWDED else 0.45
    for i, row in enumerate(rows):
        y = top + ROW * (i + 0.5)
        weight = {} if row.values else {"font_weight": "bold"}
        body.append(text(row.says, MARGIN + indent * bool(row.values), y + 4, font_size=SIZE, **weight))
        if row.values:
            body.append(element("path", d=f"M{left:g} {y:g}h{WIDE:g}", stroke=GREY, stroke_width=0.6, opacity=0.45))
        for name, found in row.values.items():
            body += [mark(series.index(name), left + scale(value), y, faint) for value in found]
    ends = [left + scale(value) + width_of(says, SIZE) / 2 for value, says in axis.lines.items()]
    named = sum(36 + width_of(name, SIZE) for name in series) if len(series) > 1 else 0.0
    return document(max(left + WIDE + MARGIN, named, *ends) + MARGIN, top + height + 44, title, body)


def bars(title: str, rows: Mapping[str, float], axis: Axis, says: str = "{:g}") -> str:
    """One bar for each name, with its value behind it."""
    left = MARGIN + max(width_of(name, SIZE) for name in rows) + 12
    scale = axis.scale(list(rows.values()), WIDE)
    top, height = TITLE + 14 * bool(axis.lines), (ROW + 5) * len(rows)
    body = [heading(title), *across(axis, scale, left, top, height)]
    for i, (name, value) in enumerate(rows.items()):
        y = top + (ROW + 5) * i + 4
        body += [text(name, MARGIN, y + 12, font_size=SIZE),
                 element("rect", x=left, y=y, width=max(scale(value), 1.0), height=ROW - 3, rx=2.0, fill=COLOURS[0]),
                 text(says.format(value), left + scale(value) + 6, y + 12, font_size=SIZE)]  # fmt: skip
    return document(left + WIDE + 70, top + height + 44, title, body)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], across_axis: Axis, up_axis: Axis) -> str:
    """Lines over an axis, each with its name at its end."""
    points = [point for found in series.values() for point in found]
    right = across_axis.scale([x for x, _ in points], WIDE)
    up = up_axis.scale([y for _, y in points], DEEP)
    left, top = 64.0, TITLE + 22
    body = [heading(title), text(up_axis.says, MARGIN, TITLE + 10, font_size=SIZE),
            *across(across_axis, right, left, top, DEEP)]  # fmt: skip
    for value in up.ticks():
        y = top + DEEP - up(value)
        body += [element("path", d=f"M{left:g} {y:.1f}h{WIDE:g}", stroke=GREY, stroke_width=0.6, opacity=0.45),
                 text(short(value), left - 8, y + 4, font_size=11, text_anchor="end")]  # fmt: skip
    for number, (name, found) in enumerate(series.items()):
        places = [(left + right(x), top + DEEP - up(y)) for x, y in found]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        body.append(element("path", d=path, fill="none", stroke=COLOURS[number % len(COLOURS)], stroke_width=1.8))
        body += [mark(number, x, y) for x, y in places] if len(places) <= 20 else []
        body.append(text(name, places[-1][0] + 9, places[-1][1] + 4, font_size=SIZE,
                         fill=COLOURS[number % len(COLOURS)]))  # fmt: skip
    longest = max(width_of(name, SIZE) for name in series)
    return document(left + WIDE + longest + 14, top + DEEP + 44, title, body)


def heading(title: str) -> str:
    return text(title, MARGIN, 17.0, font_size=13, font_weight="bold")


def across(axis: Axis, scale: Scale, left: float, top: float, height: float) -> Iterator[str]:
    """The ticks below, what the axis says, and its lines."""
    bottom = top + height
    yield element("path", d=f"M{left:g} {bottom:g}h{scale.length:g}", stroke=INK, stroke_width=1)
    for value in scale.ticks():
        x = left + scale(value)
        yield element("path", d=f"M{x:.1f} {bottom:g}v4", stroke=INK, stroke_width=1)
        yield text(short(value) + axis.unit, x, bottom + 16, font_size=11, text_anchor="middle")
    yield text(axis.says, left + scale.length / 2, bottom + 34, font_size=SIZE, text_anchor="middle")
    for value, says in axis.lines.items():
        x = left + scale(value)
        yield element("path", d=f"M{x:.1f} {top:g}V{bottom:g}", stroke=INK, stroke_width=1.2, stroke_dasharray="4 3")
        yield text(says, x, top - 4, font_size=11, text_anchor="middle")


def legend(series: Sequence[str], x: float, y: float) -> Iterator[str]:
    for number, name in enumerate(series):
        yield mark(number, x + 6, y)
        yield text(name, x + 16, y + 4, font_size=SIZE)
        x += 36 + width_of(name, SIZE)


def mark(number: int, x: float, y: float, opacity: float = 0.85) -> str:
    """The sign of a series: disc, square, triangle, diamond, and again with other colours."""
    paint = {"fill": COLOURS[number % len(COLOURS)], "fill_opacity": f"{opacity:g}"}
    if number % 4 == 0:
        return element("circle", cx=x, cy=y, r=4.2, **paint)
    if number % 4 == 1:
        return element("rect", x=x - 3.8, y=y - 3.8, width=7.6, height=7.6, **paint)
    corners = ((0, -5), (4.8, 4), (-4.8, 4)) if number % 4 == 2 else ((0, -5.4), (5.4, 0), (0, 5.4), (-5.4, 0))
    return element("path", d="M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners) + "z", **paint)


def short(value: float) -> str:
    """A tick's value, in powers of ten where it is very small or large."""
    if value and not 1e-3 <= abs(value) < 1e5:
        power = math.floor(math.log10(value) + 1e-9)
        part = round(value / 10.0**power)
        tens = "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return tens if part == 1 else f"{part}·{tens}"
    return f"{value:,.10g}"
