"""The cells of ONNX's recurrent operators, for any of their attributes, and where their maps lie in the tensors.

Maps are named as in rnnspec's own cells: `W.i`, `U.i` and so on. The threshold `clip` bounds what is given to the
activations of the gates. The text of the operators can be read to bound the cell state before its activation too; ONNX
Runtime does not, and nor do these cells. A coupled forget gate is 1 - i. Where each direction has activations of its
own, the cell has those of both, and a vector `p.forward` of ones or zeros says which; no gradient moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnspec.convert.layout import Layout
from rnnspec.convert.layouts import ONNX, gates
from rnnspec.convert.onnx_functions import ACTIVATIONS, limited
from rnnspec.primitives import where
from rnnspec.tracing.cell import Cell, cell

__all__ = ["FORWARD", "GATES", "Variant", "row_of"]

GATES = {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"}
"""The gates of each operator in the order of its tensors."""
FORWARD = "forward"
"""The vector, and the tensor of it, that says which direction's activations a cell has."""
Functions = Callable[[Any], Sequence[Callable[[Any], Any]]]
"""The activations of a cell, by its learned vectors."""


@dataclass(frozen=True)
class Variant:
    """One direction of an operator: its activations by name with their options, and the attributes that change it."""

    kind: str
    activations: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    clip: float | None = None
    coupled: bool = False
    reset_after: bool = False
    peepholes: bool = False

    @property
    def gates(self) -> str:
        """The gates that the cell reads, in the order of the tensors."""
        return GATES[self.kind].replace("f" if self.coupled else " ", "")

    @property
    def name(self) -> str:
        """A name for the cell: `lstm`, then the activations."""
        parts = [self.kind.lower(), *(name.lower() for name, _ in self.activations)]
        return "_".join(parts + ["clipped"] * (self.clip is not None) + ["coupled"] * self.coupled)


def row_of(variant: Variant, reverse: Variant | None = None) -> Layout:
    """The row of a variant: that of the table where its cell is there, else one of a cell made for it.

    `reverse` is the variant of the other direction, where it has other activations.
    """
    made = _layout(variant, reverse or variant)
    return next((row for row in ONNX if row.kind == variant.kind and row.cell == made.cell), made)


def _layout(variant: Variant, reverse: Variant) -> Layout:
    pairs = list(zip(variant.activations, reverse.activations, strict=True))

    def functions(p: Any) -> list[Callable[[Any], Any]]:
        return [_function(*own) if own == other else _either(p, _function(*own), _function(*other))
                for own, other in pairs]  # fmt: skip

    order = variant.gates
    second = "b.z b.r p.n" if variant.reset_after else gates("b", order)
    tensors = {"W": gates("W", order), "R": gates("U", order), "B": f"{gates('b', order)} {second}"}
    tensors |= {"P": gates("p", order.replace("g", ""))} if variant.peepholes else {}
    tensors |= {FORWARD: f"p.{FORWARD}"} if reverse != variant else {}
    return Layout(variant.kind, CELLS[variant.kind](variant, functions), tensors, optional=("B",))


def _function(name: str, options: Sequence[tuple[str, float]]) -> Callable[[Any], Any]:
    return ACTIVATIONS[name].of(dict(options))


def _either(p: Any, forward: Callable[[Any], Any], reverse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The one function in the forward direction and the other in reverse."""
    return lambda a: where(p.forward > 0, forward(a), reverse(a))


def _rnn(variant: Variant, functions: Functions) -> Cell:
    within = limited(variant.clip)

    def equations(x: Any, R: Any, p: Any, h: Any) -> Any:
        (f,) = functions(p)
        return f(within(x.h + R.h(h)))

    return _named(variant, equations)


def _lstm(variant: Variant, functions: Functions) -> Cell:
    within = limited(variant.clip)

    def seen(a: Any, vector: Any, state: Any) -> Any:
        return within(a + vector() * state if variant.peepholes else a)

    def equations(x: Any, R: Any, p: Any, h: Any, c: Any) -> Any:
        f, g, k = functions(p)
        i = f(seen(x.i + R.i(h), lambda: p.i, c))
        kept = 1 - i if variant.coupled else f(seen(x.f + R.f(h), lambda: p.f, c))
        new = g(within(x.g + R.g(h)))
        if variant.peepholes:
            c = kept * c + i * new
            o = f(seen(x.o + R.o(h), lambda: p.o, c))
        else:
            o = f(within(x.o + R.o(h)))
            c = kept * c + i * new
        return o * k(c), c

    return _named(variant, equations)


def _gru(variant: Variant, functions: Functions) -> Cell:
    within = limited(variant.clip)

    def equations(x: Any, R: Any, p: Any, h: Any) -> Any:
        f, g = functions(p)
        r = f(within(x.r + R.r(h)))
        z = f(within(x.z + R.z(h)))
        n = g(within(x.n + r * (R.n(h) + p.n) if variant.reset_after else x.n + R.n(r * h)))
        return (1 - z) * n + z * h

    return _named(variant, equations)


def _named(variant: Variant, equations: Callable[..., Any]) -> Cell:
    equations.__name__ = variant.name
    return cell(equations)


CELLS: dict[str, Callable[[Variant, Functions], Cell]] = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}
