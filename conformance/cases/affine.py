"""Random cells whose steps are affine in their states, so that they run in parallel over time, by construction.

Their states are vectors, pairs of vectors that read each other, a number, a maximum of sums, and matrices with a decay
and writes of rank one, which are read along their rows or along their columns. Each state can read those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from conformance.cases.equations import read
from rnnspec.tracing.cell import Cell

__all__ = ["affine_cells"]

T = TypeVar("T")

INPUTS = {"K": ("k", "a"), "V": ("v", "e"), "X": ("j",), "N": ("n",)}
"""The widths of a cell, and the input maps of each: keys, values, that of x, and one feature."""
VECTORS = {"K": "d", "V": "w", "X": "q", "N": "n"}
MAPS = {("K", "K"): ("r", "r.T"), ("V", "V"): ("o", "i"), ("K", "V"): ("s", "t.T"), ("V", "K"): ("t", "s.T"),
        ("K", "X"): ("f",), ("V", "X"): ("g",), ("X", "K"): ("f.T",), ("X", "V"): ("g.T", "u")}  # fmt: skip
LEARNED = {("K", "V"): "A", ("V", "K"): "B", ("K", "K"): "C", ("V", "V"): "D"}

GATES = ("sigmoid({})", "exp(-softplus({}))", "(1 - sigmoid({}))", "where({} > 0.25, 0.75, 0.5)", "tanh({})", "{}")
FORMS = ("{f} * {h} + {u}", "{h} + {f} * ({u} - {h})", "{f} * {h} + (1 - {f}) * {u}", "-({u} - {f} * {h})",
         "({u} - {f} * {h}) / (1 + {u} * {u})", "where({u} > 0.25, {f} * {h}, {u})", "{f} * {h}", "{u} + {h}",
         "where({u} > 0.25, {u}, {h}) * {f}", "{h}", "{u}", "stop({f} * {h}) + {u}", "{h} * 2 - {h} + {u}")  # fmt: skip
PAIRS = (("{f} * {h} - {g} * {c} + {u}", "{g} * {h} + {f} * {c}"), ("{c}", "{h}"),
         ("{h} + 0.5 * {c}", "{f} * {c} + {u}"), ("{f} * {h} + 0.25 * {c}", "{c} - 0.25 * ({h} - {u})"))  # fmt: skip


@dataclass
class _Drawing:
    """A cell in the making: its equations so far, and the letters that they can read, by width."""

    draw: DrawFn
    lines: list[str] = field(default_factory=list)
    letters: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    numbered: Iterator[int] = field(default_factory=count)

    @property
    def may_show_a_state(self) -> bool:
        """Whether the first state is a vector, which can be the output too."""
        return self.results[0] in self.letters

    def one(self, *choices: T) -> T:
        return self.draw(st.sampled_from(choices))

    def known(self, width: str, depth: int = 1) -> str:
        """A vector that no state of the same group changes."""
        own = [letter for letter, kind in self.letters.items() if kind == width]
        leaves = [*own, *own, *[f"x.{name}" for name in INPUTS[width]], f"p.{VECTORS[width]}"]
        leaves += ["x"] if width == "X" else []
        if width == "N":
            return f"number({self.one(*leaves)})"
        leaf = self.one(*leaves)
        if not depth or self.draw(st.booleans()):
            return leaf
        other = self.one("K", "V", "X")
        mapped = [f"R.{name}({self.known(other, depth - 1)})" for name in MAPS.get((width, other), ())]
        return self.one(f"tanh({leaf})", f"({leaf} + {self.known(width, depth - 1)})", *mapped)

    def gate(self, width: str) -> str:
        """A factor: a gate of each feature or of one number, a learned vector, or a constant."""
        return self.one(self.moving(width), self.moving(width), "0.5", "1", "0", "(-0.25)")

    def moving(self, width: str) -> str:
        """A factor that is no constant."""
        of_width, of_one = self.known(width), self.known("N")
        learned = f"number(p.{VECTORS[width]})" if width == "N" else f"p.{VECTORS[width]}"
        return self.one(self.one(*GATES).format(of_width), self.one(*GATES).format(of_one), learned,
                        f"sigmoid({of_width})", f"sigmoid({of_one})")  # fmt: skip

    def let(self, expression: str, width: str = "") -> str:
        """A letter for an expression; one with a width can be read by later states."""
        letter = f"{'v' if width else 'w'}{next(self.numbered)}"
        self.lines.append(f"{letter} = {expression}")
        if width:
            self.letters[letter] = width
        return letter

    def state(self) -> str:
        self.states.append(f"s{len(self.states)}")
        return self.states[-1]

    def vector(self) -> None:
        width, h = self.one("K", "V", "X"), self.state()
        new = self.one(*FORMS).format(h=h, f=self.gate(width), u=f"({self.known(width)})")
        self._close({h: new}, width)

    def pair(self) -> None:
        """Two vectors, each of which reads both."""
        width, h, c = self.one("K", "V"), self.state(), self.state()
        given = {"h": h, "c": c, "f": self.gate(width), "g": self.gate(width), "u": f"({self.known(width)})"}
        new = self.draw(st.sampled_from(PAIRS))
        self._close({name: form.format(**given) for name, form in zip((h, c), new, strict=True)}, width)

    def stabiliser(self) -> None:
        """A maximum of sums, and the gates that it keeps below 1."""
        width, m = self.one("K", "N"), self.state()
        f, i = f"-softplus({self.known(width)})", self.known(width)
        old = f"number({m})" if width == "N" else m
        new = self.let(self.one("maximum({0} + {1}, {2})", "maximum({2}, {1} + {0})").format(old, f, i), width)
        self.let(f"exp({f} + {old} - {new})", width)
        self.let(f"exp({i} - {new})", width)
        self.results.append(new)

    def number(self) -> None:
        n = self.state()
        new = self.one(*FORMS).format(h=f"number({n})", f=self.gate("N"), u=self.known("N"))
        self._close({n: new}, "N")

    def entries(self) -> None:
        """A matrix whose entries have decays of their own."""
        rows, columns = self.one("K", "V"), self.one("K", "V")
        S, A = self.state(), LEARNED[rows, columns]
        a, b = self.known(rows), self.known(columns)
        gates = f"outer({self.moving(rows)}, {self.gate(columns)})"
        new = self.one(f"sigmoid(p.{A}) * {S} + outer({a}, {b})", f"{gates} * {S} + p.{A}",
                       f"{S} - p.{A} * ({S} - outer({a}, {b}))", f"{self.moving('N')} * {S} + p.{A} * outer({a}, {b})")
        self.results.append(self.let(new))
        self.let(f"{self.known(rows)} @ {self.one(S, self.results[-1])}", columns)

    def _close(self, new: dict[str, str], width: str) -> None:
        """The new values of a group, which later states can read beside the old ones."""
        made = [self.let(form, width) for form in new.values()]
        self.results += made
        self.letters |= dict.fromkeys(new, width)

    def matrix(self) -> None:
        """A matrix that decays along its keys and is written by outer products, and what queries read of it."""
        own = _Matrix(self, self.state(), self.one("K", "V"), self.one("K", "V"), self.draw(st.booleans()))
        own.draw_all()


@dataclass
class _Matrix:
    """A matrix in the making, with keys along its rows or its columns."""

    drawing: _Drawing
    state: str
    keys: str
    values: str
    keys_are_rows: bool

    def draw_all(self) -> None:
        one, draw = self.drawing.one, self.drawing.draw
        begin = self.drawing.let(self.decayed(self.state))
        now, reads = begin, []
        for _ in range(draw(st.integers(1, 2))):
            if draw(st.booleans()):
                reads.append(self.read(one(self.state, now)))
            now = self.drawing.let(self.written(now))
        if draw(st.booleans()):
            reads.append(self.read(self.state))
        reads.append(self.read(now))
        self.drawing.results.append(now)
        for found in reads:
            self.drawing.let(found, self.values)

    def outer(self, key: str, value: str) -> str:
        return f"outer({key}, {value})" if self.keys_are_rows else f"outer({value}, {key})"

    def read(self, matrix: str, query: str = "") -> str:
        given = query or f"({self.drawing.known(self.keys)})"
        return f"{given} @ {matrix}" if self.keys_are_rows else f"{matrix} @ {given}"

    def decayed(self, matrix: str) -> str:
        gate, own = self.drawing.moving(self.keys), f"sigmoid({self.drawing.known(self.keys)})"
        of_one = f"sigmoid({self.drawing.known('N')})"
        return self.drawing.one(f"{self.outer(gate, '1')} * {matrix}", f"{of_one} * {matrix}", f"0.5 * {matrix}",
                                f"{matrix} * {self.outer(own, '1')}", f"{matrix} / (1 + {of_one})", f"-{matrix}",
                                f"{matrix} - {of_one} * {matrix}", f"{self.outer(gate, of_one)} * {matrix}", matrix,
                                f"{self.outer(f'p.{VECTORS[self.keys]}', '1')} * {matrix}")  # fmt: skip

    def written(self, matrix: str) -> str:
        """The matrix with one write more, of which some depend on what the matrix had under the key."""
        one, known = self.drawing.one, self.drawing.known
        key, value = self.drawing.let(f"tanh({known(self.keys)})"), known(self.values)
        met = self.read(matrix, key)
        beta = one("sigmoid({})", "{}", "0.5 * {}").format(known("N"))
        gates = self.outer(*one((f"sigmoid({known(self.keys)})", "1"), ("1", f"sigmoid({known(self.values)})"),
                                (self.drawing.moving(self.keys), f"sigmoid({known('N')})")))  # fmt: skip
        return one(f"{matrix} + {self.outer(key, value)}", f"{matrix} - {self.outer(key, value)}",
                   f"{matrix} + {self.outer(key, f'{beta} * ({value} - {met})')}",
                   f"{matrix} - {beta} * {self.outer(key, met)}",
                   f"{matrix} - {beta} * {self.outer(key, f'({met} - {value})')}",
                   f"{matrix} + {gates} * {self.outer(key, value)}",
                   f"{matrix} + {self.outer(key, '1')} * {self.outer('1', value)}",
                   f"{matrix} + {self.outer(key, value)} - {beta} * {self.outer(key, known(self.values))}",
                   f"{matrix} + {self.outer(key, value)} / (1 + width({key}))")  # fmt: skip


@st.composite
def affine_cells(draw: DrawFn) -> Cell:
    """A random cell that has a parallel form."""
    drawing = _Drawing(draw)
    for _ in range(draw(st.integers(1, 3))):
        kinds = (drawing.matrix, drawing.vector, drawing.matrix, drawing.pair, drawing.stabiliser, drawing.number,
                 drawing.entries)  # fmt: skip
        kinds[draw(st.sampled_from(range(len(kinds))))]()  # by number, since the hash of a method is an address
    width = drawing.one("K", "V")
    read_letters = [letter for letter, own in drawing.letters.items() if own == width]
    shown = " + ".join([f"({drawing.known(width)})", *read_letters])
    output = [] if drawing.may_show_a_state and draw(st.booleans()) else [f"out({shown})"]
    lines = [*drawing.lines, f"return {', '.join([*output, *drawing.results])}"]
    body = "".join(f"    {line}\n" for line in lines)
    return read(f"@cell\ndef affine(x, R, p, {', '.join(drawing.states)}):\n{body}")
