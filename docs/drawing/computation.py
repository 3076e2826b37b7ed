"""A cell's graph as a picture: what enters from the left, what leaves to the right, coloured by kind.

Sums and products of several operands are one sign, a number stands in the sign that it belongs to, and a function
carries the name of the gate that it computes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from drawing.layers import Placed, place
from drawing.svg import GREY, INK, curve, document, element, text, width_of

__all__ = ["Picture", "picture"]

KINDS = {
    "input": ("input x.name = W x + b", "#1a7fc1"),
    "state": ("state", "#b8560b"),
    "map": ("recurrent map R.name(v) = U v", "#8250b0"),
    "vector": ("learned vector p.name", "#00805f"),
    "function": ("function", "#3b6e75"),
    "operation": ("elementwise operation", INK),
}
"""What the legend says of each kind of box, and its colour."""
SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "negate": "−", "sigmoid": "σ", "sqrt": "√",
         "maximum": "max", "minimum": "min", "remainder": "mod", "greater": ">", "greater_equal": "≥", "where": "if",
         "total": "Σ", "logsumexp": "log Σ exp", "outer": "⊗"}  # fmt: skip
"""How an operation is written where its own name is not."""
PLACES = {"divide": ("", "by"), "remainder": ("", "by"), "greater": ("", "than"), "greater_equal": ("", "than"),
          "where": ("if", "then", "else"), "subtract": ("", "less")}  # fmt: skip
"""What an edge says where operands cannot be exchanged."""
SUMS = ("add", "subtract", "multiply")
EXCHANGEABLE = ("negate", "add", "multiply", "maximum", "minimum")
ANY = ("1st", "2nd", "3rd", "4th")
OUTPUT = "output"
LEAVES = {"input": "x", "vector": "p", "map": "R"}
SIZE, TALL, GAP, BETWEEN, MARGIN, NOTE = 13.0, 26.0, 14.0, 44.0, 8.0, 16.0


@dataclass(frozen=True)
class Box:
    """One thing in the picture; `note` is the name of the gate that it computes."""

    kind: str
    label: str
    note: str = ""
    leaves: bool = False

    @property
    def width(self) -> float:
        """Round signs are as wide as tall."""
        return max(TALL, width_of(self.label, SIZE) + (22.0 if self.kind in ("input", "state", "vector") else 12.0))


@dataclass
class Picture:
    """The boxes of a cell, and edges from one to another, each with what it says."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[tuple[int, int, str]] = field(default_factory=list)

    def svg(self, title: str) -> str:
        """The picture with its text and a legend."""
        return _Drawing(self).document(title)

    def miniature(self, title: str, width: float = 200.0, height: float = 110.0) -> str:
        """The picture without its text, small enough to stand in a table."""
        return _Drawing(self).miniature(title, width, height)


def picture(cell: Any) -> Picture:
    """The picture of a cell."""
    return _Reader(cell).read()


class _Reader:
    """Reads a graph once; a node that stands in another's sign has no box of its own."""

    def __init__(self, cell: Any) -> None:
        self.cell, self.nodes = cell, cell.graph.nodes
        self.uses = Counter(arg for node in self.nodes for arg in node.args)
        self.uses.update(index for _, index in cell.graph.results)
        self.found, self.place = Picture(), dict[int, int]()

    def read(self) -> Picture:
        for state in self.cell.states:
            for index, node in enumerate(self.nodes):
                if node.op == "state" and node.name == state:
                    self._box(index)
        results: dict[int, list[str]] = {}
        for name, index in self.cell.graph.results:
            results.setdefault(index, []).append(f"{name}′" if name else OUTPUT)
        for index, names in results.items():
            source = self._box(index)
            self.found.boxes.append(Box("state", ", ".join(sorted(names, key=OUTPUT.__eq__)), leaves=True))
            self.found.edges.append((source, len(self.found.boxes) - 1, ""))
        self.found.edges.sort(key=lambda edge: edge[:2])
        return self.found

    def _box(self, index: int) -> int:
        if index in self.place:
            return self.place[index]
        box, operands = self._reading(index)
        from_where = [(self._box(arg), says) for arg, says in operands]
        self.place[index] = len(self.found.boxes)
        self.found.boxes.append(box)
        for (source, says), times in Counter(from_where).items():
            often = f" {times} times" if times > 1 else ""
            self.found.edges.append((source, self.place[index], f"{says}{often}".strip()))
        return self.place[index]

    def _reading(self, index: int) -> tuple[Box, list[tuple[int, str]]]:
        """The box of a node, and the nodes that it needs with what their edges say."""
        node = self.nodes[index]
        if node.op == "map":
            return Box("map", _named(node)), [(node.args[0], "")]
        if not node.args:
            return self._leaf(node), []
        if (number := self._number(node)) is not None:
            return Box("operation", self._with_number(node, number)), [(node.args[1 - number], "")]
        if len(node.args) == 1 and node.op != "negate":
            return Box("function", SIGNS.get(node.op, node.op), self._gate(index)), [(node.args[0], "")]
        if node.op in SUMS:
            whole = "multiply" if node.op == "multiply" else "add"
            return Box("operation", SIGNS[whole]), list(self._operands(index, whole, whole == "add"))
        places = ("",) * len(node.args) if node.op in EXCHANGEABLE else PLACES.get(node.op, ANY)
        return Box("operation", SIGNS.get(node.op, node.op)), list(zip(node.args, places, strict=False))

    def _leaf(self, node: Any) -> Box:
        if node.op == "constant":
            return Box("operation", f"{node.value:g}")
        return Box(node.op if node.op in KINDS else "vector", _named(node))

    def _number(self, node: Any) -> int | None:
        """Which operand of two is a number that can stand in the sign."""
        constants = [i for i, arg in enumerate(node.args) if self.nodes[arg].op == "constant"]
        return constants[0] if len(node.args) == 2 and len(constants) == 1 else None

    def _with_number(self, node: Any, number: int) -> str:
        """The sign with its number: before it where the number is what is divided or subtracted from."""
        sign, value = SIGNS.get(node.op, node.op), f"{self.nodes[node.args[number]].value:g}"
        return f"{value} {sign}" if number == 0 and node.op in PLACES and not sign.isalpha() else f"{sign} {value}"

    def _operands(self, index: int, whole: str, positive: bool) -> Iterator[tuple[int, str]]:
        """The terms of a sum or the factors of a product; those of an operand that nothing else reads count in."""
        node = self.nodes[index]
        for i, arg in enumerate(node.args):
            sign = positive != (node.op == "subtract" and i == 1)
            inner = self.nodes[arg]
            alike = inner.op == whole or (whole == "add" and inner.op == "subtract")
            if alike and self.uses[arg] == 1 and self._number(inner) is None:
                yield from self._operands(arg, whole, sign)
            else:
                yield arg, "" if sign or whole == "multiply" else "−"

    def _gate(self, index: int) -> str:
        """The one name of the maps and vectors in the sum that a function is of; none where it is of anything else."""
        names, left = set(), [self.nodes[index].args[0]]
        while left:
            node = self.nodes[left.pop()]
            if node.op in LEAVES:
                names.add(node.name)
            elif node.op in SUMS:
                left.extend(node.args)
            elif len(node.args) > 1:
                return ""
        return names.pop() if len(names) == 1 else ""


def _named(node: Any) -> str:
    group = LEAVES.get(node.op)
    return ".".join(part for part in (group, node.name) if part) or node.op


class _Drawing:
    """The boxes in their places."""

    def __init__(self, picture: Picture) -> None:
        self.boxes, self.edges = picture.boxes, picture.edges
        self.columns = self._columns()
        sizes = [TALL + (NOTE if box.note else 0.0) for box in self.boxes]
        self.placed: Placed = place(self.columns, sizes, [edge[:2] for edge in self.edges], GAP)
        widths = [max(box.width for box, c in zip(self.boxes, self.columns, strict=True) if c == column)
                  for column in range(max(self.columns) + 1)]  # fmt: skip
        self.widths = widths
        self.across = [MARGIN + sum(widths[:c]) + BETWEEN * c + widths[c] / 2 for c in range(len(widths))]
        self.width = self.across[-1] + widths[-1] / 2 + MARGIN
        points = [y for passed in self.placed.passes.values() for _, y in passed]
        self.height = max([*(y + s / 2 for y, s in zip(self.placed.heights, sizes, strict=True)), *points]) + 2 * MARGIN

    def _columns(self) -> list[int]:
        """The longest way from a leaf; leaves but states stand next to who reads them, results in the last column."""
        columns = [0] * len(self.boxes)
        for source, target, _ in sorted(self.edges, key=lambda edge: edge[1]):
            columns[target] = max(columns[target], columns[source] + 1)
        readers: dict[int, list[int]] = {}
        for source, target, _ in self.edges:
            readers.setdefault(source, []).append(columns[target])
        fed = {target for _, target, _ in self.edges}
        for index, box in enumerate(self.boxes):
            if index not in fed and box.kind != "state":
                columns[index] = min(readers[index]) - 1
            elif box.leaves:
                columns[index] = max(columns)
        return columns

    def document(self, title: str) -> str:
        legend, down = self._legend()
        body = [ARROW, *self._lines(), *(self._drawn(i) for i in range(len(self.boxes))), *legend]
        return document(max(self.width, LEGEND), self.height + down, title, body)

    def miniature(self, title: str, width: float, height: float) -> str:
        shown = min(width, height * self.width / self.height)
        body = [*self._lines(arrows=False, thick=self.width / shown), *map(self._shape, range(len(self.boxes)))]
        return document(self.width, self.height, title, body, shown)

    def _middle(self, index: int) -> tuple[float, float]:
        return self.across[self.columns[index]], self.placed.heights[index] + MARGIN

    def _lines(self, arrows: bool = True, thick: float = 1.4) -> Iterator[str]:
        for source, target, says in self.edges:
            (x, y), (to_x, to_y) = self._middle(source), self._middle(target)
            start, end = x + self.boxes[source].width / 2, to_x - self.boxes[target].width / 2
            passed = self._passed(source, target)
            path = curve([(start, y), *passed, (end - (5.0 if arrows else 0.0), to_y)])
            tip = {"marker_end": "url(#tip)"} if arrows else {}
            yield element("path", d=path, fill="none", stroke=GREY, stroke_width=thick, **tip)
            if says and arrows:
                yield self._said(says, (start, y), (end, to_y))

    def _said(self, says: str, start: tuple[float, float], end: tuple[float, float]) -> str:
        """A minus belongs where it acts, words where nothing else arrives."""
        (x, y), (to_x, to_y) = start, end
        if says == "−":
            return text(says, to_x - 10, to_y + (-5 if y <= to_y else 13), text_anchor="end", font_size=11)
        return text(says, x + 4, y - 5, font_size=11)

    def _passed(self, source: int, target: int) -> list[tuple[float, float]]:
        """The points between two boxes; the first and the last column that an edge passes it passes level."""
        passes = self.placed.passes[source, target]
        points = [(self.across[column], height + MARGIN) for column, height in passes]
        if points:
            (first, y), (last, to_y) = points[0], points[-1]
            left, right = (self.widths[passes[i][0]] / 2 for i in (0, -1))
            points = [(first - left, y), *points[1:-1], (last + right, to_y)]
        return points

    def _drawn(self, index: int) -> str:
        box, (x, y) = self.boxes[index], self._middle(index)
        fill = "#ffffff" if not (box.kind == "operation" or box.leaves) else KINDS[box.kind][1]
        label = text(box.label, x, y + 4.5, text_anchor="middle", font_size=SIZE, fill=fill)
        note = text(box.note, x, y - TALL / 2 - 5, text_anchor="middle", font_size=12, font_style="italic")
        return "\n".join([self._shape(index), label, *([note] if box.note else [])])

    def _shape(self, index: int) -> str:
        box, (x, y) = self.boxes[index], self._middle(index)
        return shape(box.kind, x, y, box.width, hollow=box.leaves)

    def _legend(self) -> tuple[list[str], float]:
        """One entry for each kind that occurs, in as many lines as the width asks for, and how tall they are."""
        drawn, x, y = [], MARGIN, self.height + 18.0
        for kind in (kind for kind in KINDS if any(box.kind == kind for box in self.boxes)):
            says = KINDS[kind][0]
            if x > MARGIN and x + 34 + width_of(says, 11) > max(self.width, LEGEND):
                x, y = MARGIN, y + 22.0
            drawn += [shape(kind, x + 9, y, 18.0, 12.0), text(says, x + 24, y + 4, font_size=11)]
            x += 40 + width_of(says, 11)
        return drawn, y + 14.0 - self.height


LEGEND = 420.0
ARROW = ('<defs><marker id="tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" '
         f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L6 3L0 6z" fill="{GREY}"/></marker></defs>')


def shape(kind: str, x: float, y: float, width: float, tall: float = TALL, hollow: bool = False) -> str:
    """The outline of a kind: pills enter and leave, rectangles are maps, what rounds off computes."""
    colour = KINDS[kind][1]
    radius = tall * {"map": 0.1, "function": 0.3}.get(kind, 0.5)
    hollow = hollow or kind == "operation"
    paint = {"fill": "none", "stroke": colour, "stroke_width": 1.6} if hollow else {"fill": colour}
    return element("rect", x=x - width / 2, y=y - tall / 2, width=width, height=tall, rx=radius, **paint)
