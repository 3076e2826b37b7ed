"""Random cells, drawn from the grammar of the language: every cell that can be declared can be drawn.

They use every primitive, one to three states of one or two widths, an output that is a state or not, maps and vectors
that are read twice, states that no equation reads, results without a loop, and results that are equal. The simplest
cell comes first, so that a failing cell shrinks to a short one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from conformance.cases.equations import read, written
from rnnspec.tracing.cell import Cell

__all__ = ["drawn_cells", "drawn_single_steps"]

STATES = ("h", "c", "m")
NARROW, WIDE, INPUT = 0, 1, 2
"""The widths of a cell, by number: two of its own, which its layer may give the same number, and that of x."""
INPUTS = {NARROW: ("a", "b"), WIDE: ("i", "o"), INPUT: ("j",)}
VECTORS = {NARROW: ("d",), WIDE: ("k",), INPUT: ("q",)}
MAPS = {(NARROW, NARROW): ("a", "b", "a.T"), (WIDE, WIDE): ("i", "o", "o.T"), (INPUT, INPUT): ("j",),
        (NARROW, WIDE): ("s", "t.T"), (WIDE, NARROW): ("t", "s.T"), (NARROW, INPUT): ("f", "e.T"),
        (INPUT, NARROW): ("e", "f.T"), (WIDE, INPUT): ("g",), (INPUT, WIDE): ("g.T",)}  # fmt: skip
"""Names by width; those of maps by the widths of result and argument. They are few, so that one is read twice."""
CONSTANTS = (0.5, 1, 2, -0.25, 0)
DEPTH = 3
"""The most nested functions."""

LEARNED = {(NARROW, NARROW): "A", (WIDE, WIDE): "B", (NARROW, WIDE): "C", (WIDE, NARROW): "D", (INPUT, NARROW): "E",
           (NARROW, INPUT): "F", (INPUT, INPUT): "G", (WIDE, INPUT): "H", (INPUT, WIDE): "J"}  # fmt: skip
"""The names of learned matrices, by the widths of rows and columns."""
MATRICES = ("S", "M")
WIDTHS = (NARROW, WIDE, INPUT)
BOUNDED = ("tanh({})", "sigmoid({})", "-{}", "relu({})", "exp(tanh({}))", "sqrt(1 + {0} * {0})")
COMBINED = ("{} + {}", "{} * {}", "{} - {}", "maximum({}, {})", "{0} / (1 + {1} * {1})", "tanh({} + {})")

UNARY = ("tanh({})", "sigmoid({})", "-{}", "relu({})", "softplus({})", "exp({})", "exp(-relu({}))", "exp(tanh({}))",
         "log(1 + {0} * {0})", "log({})", "sqrt(1 + {0} * {0})", "sqrt({})", "remainder({}, 0.75)",
         "cos({})", "sin({})", "erf({})", "stop({})")  # fmt: skip
BINARY = ("{} + {}", "{} * {}", "{} - {}", "tanh({} + {})", "sigmoid({} + {})", "maximum({}, {})", "minimum({}, {})",
          "{0} / (1 + {1} * {1})", "{} / {}", "remainder({}, 0.5 + sigmoid({}))")  # fmt: skip
PAIRS = ("{} + {}", "{} * {}", "{} - {}", "{} / {}", "maximum({}, {})", "minimum({}, {})")
CHOICES = ("where({} > {}, {}, {})", "where({} >= {}, {}, {})", "where({} < {}, {}, {})")
NUMBERS = ("total({})", "logsumexp({})", "width({})", "mean({})", "number(x.n)", "number(p.n)", "number(R.n({}))")
"""Numbers made of a vector, and such as are one feature."""


@dataclass
class _Drawing:
    """A cell in the making: its lines so far, and the letters that can be read again, by width."""

    draw: DrawFn
    states: dict[str, int]
    matrices: dict[str, tuple[int, int]]
    letters: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def vector(self, width: int, depth: int = DEPTH) -> str:
        """An expression of a width, with at most `depth` nested functions."""
        makers: list[Callable[[int, int], str]] = [self.leaf]
        if depth:
            makers += [self.unary, self.binary, self.map, self.binary, self.map, self.mixed, self.choice, self.blend]
            makers += [self.product] * (2 if self.matrices else 0)
        return self.one_of(makers)(width, depth - 1)

    def leaf(self, width: int, depth: int) -> str:
        kept = [name for name, own in (*self.states.items(), *self.letters.items()) if own == width]
        named = [f"x.{name}" for name in INPUTS[width]] + [f"p.{name}" for name in VECTORS[width]]
        named += ["x"] if width == INPUT else []
        return self.draw(st.sampled_from([*kept, *kept, *named]))

    def unary(self, width: int, depth: int) -> str:
        return self.draw(st.sampled_from(UNARY)).format(self.grouped(width, depth))

    def binary(self, width: int, depth: int) -> str:
        return self.draw(st.sampled_from(BINARY)).format(self.grouped(width, depth), self.grouped(width, depth))

    def map(self, width: int, depth: int) -> str:
        into = self.draw(st.sampled_from((width, NARROW, WIDE, INPUT)))
        return f"R.{self.draw(st.sampled_from(MAPS[width, into]))}({self.vector(into, depth)})"

    def mixed(self, width: int, depth: int) -> str:
        """A vector and one number, in either order."""
        pair = [self.number(depth), self.grouped(width, depth)]
        first = self.draw(st.booleans())
        return self.draw(st.sampled_from(PAIRS)).format(*(pair if first else pair[::-1]))

    def number(self, depth: int) -> str:
        if self.draw(st.booleans()):
            return f"({self.draw(st.sampled_from(CONSTANTS))})"
        width = self.draw(st.sampled_from((NARROW, WIDE, INPUT)))
        if self.matrices and depth and self.draw(st.integers(0, 3)) == 3:
            return f"total({self.matrix(*self.draw(st.sampled_from([*self.matrices.values()])), depth - 1)})"
        return self.draw(st.sampled_from(NUMBERS)).format(self.vector(width, depth))

    def product(self, width: int, depth: int) -> str:
        """A matrix times a vector, or a vector or number times a matrix."""
        other = self.draw(st.sampled_from([width for shape in self.matrices.values() for width in shape]))
        v = self.draw(st.sampled_from((self.grouped(other, depth), "1", self.grouped(other, 0))))
        if self.draw(st.booleans()):
            return f"({self.matrix(width, other, depth)}) @ {v}"
        return f"{v} @ ({self.matrix(other, width, depth)})"

    def matrix(self, rows: int, columns: int, depth: int) -> str:
        """An expression of a matrix with rows and columns of two widths."""
        states = [name for name, shape in self.matrices.items() if shape == (rows, columns)]
        kinds = [self.outer, self.outer, *[lambda *_, name=name: name for name in states]]
        kinds += [self.learned] * (not states)
        if depth > 0:
            kinds += [self.combined, self.scaled, self.bent, self.scaled, self.chosen]
        return self.one_of(kinds)(rows, columns, depth - 1)

    def one_of(self, makers: list[Callable[..., str]]) -> Callable[..., str]:
        """A maker, by its number: hypothesis compares what it draws by hashes, and that of a method is an address."""
        return makers[self.draw(st.sampled_from(range(len(makers))))]

    def kept(self, state: str, depth: int) -> str:
        """The new value of a matrix state, which tells that it is a matrix."""
        rows, columns = self.matrices[state]
        return f"{state} * p.{LEARNED[rows, columns]} - outer({self.vector(rows, 0)}, {self.vector(columns, 0)}) + " + (
            self.matrix(rows, columns, depth))

    def outer(self, rows: int, columns: int, depth: int) -> str:
        a, b = (self.vector(width, max(0, min(depth, 1))) for width in (rows, columns))
        return self.draw(st.sampled_from((f"outer({a}, {b})", f"outer({a}, {b})", self._one_column(a, rows, columns),
                                          self._one_row(b, rows, columns))))  # fmt: skip

    def _one_column(self, a: str, rows: int, columns: int) -> str:
        """A column in every column, beside a matrix that has them all."""
        return f"(outer({a}, 1) * p.{LEARNED[rows, columns]})"

    def _one_row(self, b: str, rows: int, columns: int) -> str:
        return f"(p.{LEARNED[rows, columns]} - outer(1, {b}))"

    def learned(self, rows: int, columns: int, depth: int) -> str:
        return f"(outer(1, 1 * x.{INPUTS[columns][0]}) + p.{LEARNED[rows, columns]})"

    def combined(self, rows: int, columns: int, depth: int) -> str:
        pair = [f"({self.matrix(rows, columns, depth)})" for _ in range(2)]
        return self.draw(st.sampled_from(COMBINED)).format(*pair)

    def scaled(self, rows: int, columns: int, depth: int) -> str:
        """A number times a matrix, or a gate for each row or column."""
        matrix = f"({self.matrix(rows, columns, depth)})"
        gate = self.draw(st.sampled_from((
            f"{self.number(max(depth, 0))} * ", f"outer(sigmoid({self.vector(rows, 0)}), 1) * ",
            f"outer(1, sigmoid({self.vector(columns, 0)})) * ",
        )))  # fmt: skip
        return gate + matrix

    def bent(self, rows: int, columns: int, depth: int) -> str:
        return self.draw(st.sampled_from(BOUNDED)).format(f"({self.matrix(rows, columns, depth)})")

    def chosen(self, rows: int, columns: int, depth: int) -> str:
        parts = [self.matrix(rows, columns, 0) for _ in range(4)]
        return self.draw(st.sampled_from(CHOICES)).format(*parts)

    def choice(self, width: int, depth: int) -> str:
        parts = [self.vector(width, min(depth, 1)) for _ in range(4)]
        return self.draw(st.sampled_from(CHOICES)).format(*parts)

    def blend(self, width: int, depth: int) -> str:
        """A blend of two vectors, as in a gate."""
        gate, old, new = self.grouped(width, depth), self.grouped(width, 0), self.grouped(width, depth)
        return self.draw(st.sampled_from(("{0} * {1} + (1 - {0}) * {2}", "(1 - {0}) * {1} + {0} * {2}"))).format(
            f"sigmoid({gate})", old, new
        )

    def grouped(self, width: int, depth: int) -> str:
        return f"({self.vector(width, depth)})"

    def name_one(self) -> None:
        """A letter that later equations can read, more than once."""
        width, letter = self.draw(st.sampled_from((NARROW, WIDE, INPUT))), f"v{len(self.letters)}"
        self.lines.append(f"{letter} = {self.vector(width)}")
        self.letters[letter] = width

    def result(self, width: int, before: list[str]) -> str:
        """A new state: mostly an equation, else another result or an old state."""
        same = [letter for letter, own in (*self.letters.items(), *self.states.items()) if own == width]
        kinds = [self.vector(width), self.draw(st.sampled_from([*same, *before] or [self.leaf(width, 0)]))]
        return kinds[self.draw(st.integers(0, 7)) == 7]


@st.composite
def drawn_cells(draw: DrawFn) -> Cell:
    """A random cell, declared by its source."""
    count = draw(st.integers(1, 3))
    states = {name: draw(st.sampled_from((NARROW, NARROW, NARROW, WIDE, WIDE, INPUT))) for name in STATES[:count]}
    shapes = st.tuples(st.sampled_from(WIDTHS), st.sampled_from(WIDTHS))
    matrices = {name: draw(shapes) for name in MATRICES[: max(0, draw(st.integers(-4, 2)))]}
    drawing = _Drawing(draw, states, matrices)
    for _ in range(draw(st.integers(0, 2))):
        drawing.name_one()
    results: dict[str, str] = {}
    for name, width in states.items():
        before = [result for other, result in results.items() if states[other] == width]
        results[name] = drawing.result(width, before)
    returned = list(results.values())
    if draw(st.booleans()):
        returned.insert(0, f"out({drawing.result(draw(st.sampled_from(WIDTHS)), returned)})")
    returned += [drawing.kept(name, DEPTH) for name in matrices]
    body = "".join(f"    {line}\n" for line in [*drawing.lines, f"return {', '.join(returned)}"])
    return read(written(read(f"@cell\ndef drawn(x, R, p, {', '.join([*states, *matrices])}):\n{body}")))


@st.composite
def drawn_single_steps(draw: DrawFn) -> Cell:
    """A random cell without a state, declared by its source."""
    drawing = _Drawing(draw, {}, {})
    for _ in range(draw(st.integers(0, 2))):
        drawing.name_one()
    lines = [*drawing.lines, f"return {drawing.result(draw(st.sampled_from(WIDTHS)), [])}"]
    return read(written(read("@cell\ndef drawn(x, R, p):\n" + "".join(f"    {line}\n" for line in lines))))
