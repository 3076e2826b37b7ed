"""What each parameter of an operator is: an array of the cell by its name, lengths, resets, or nothing of these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.operators.layout import Layout
from rnnspec.errors import ArgumentError
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.widths import INPUT

__all__ = ["MARKS", "Signature", "bound"]

MARKS = ("lengths", "cu_seqlens", "resets")
"""The parameters that say where rows end and begin."""
BEGIN = "initial_state"


@dataclass(frozen=True)
class Signature:
    """The quantity of each parameter that is passed; those that only go by position, in their order."""

    quantities: Mapping[str, str]
    positional: tuple[str, ...]

    def has(self, quantity: str) -> bool:
        """Whether a parameter is this quantity."""
        return quantity in self.quantities.values()

    def parameter(self, quantity: str) -> str:
        """The parameter that is a quantity."""
        return next(name for name, own in self.quantities.items() if own == quantity)


def bound(call: str, function: Callable[..., Any], cell: Cell, layout: Layout) -> Signature:
    """The quantities of the parameters of a function.

    Raises ArgumentError where a parameter is nothing of the cell, or an array of the cell has no parameter.
    """
    known, found, positional = _known(cell), dict[str, str](), list[str]()
    for name, parameter in _parameters(call, function).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        meant = layout.meant(name)
        quantity = meant if meant else name if name in MARKS else known.get(name, "")
        if meant and meant not in (*known.values(), *MARKS):
            raise ArgumentError(call, f"the layout of {name} must name what the cell has: {', '.join(_of(cell))}",
                                meant, "correct it")  # fmt: skip
        if not quantity and parameter.default is parameter.empty:
            raise ArgumentError(call, "every parameter must be an array of the cell, lengths, cu_seqlens or resets; "
                                f"the cell has {', '.join(_of(cell))}", name,
                                f'rename it, or write layout = {{{name!r}: "x.name: batch time width"}}')  # fmt: skip
        if quantity:
            found[name] = quantity
            positional += [name] if parameter.kind is parameter.POSITIONAL_ONLY else []
    _check_complete(call, cell, found)
    return Signature(found, tuple(positional))


def _parameters(call: str, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ArgumentError(call, "an operator must be a function with a signature", str(error),
                            "wrap it in a function whose parameters are named as in the cell") from error  # fmt: skip


def _of(cell: Cell) -> list[str]:
    """Everything that a cell is given, by name."""
    inputs = [f"x.{name}" for name in sorted(cell.graph.names("input"))] + [INPUT] * cell.reads_input
    learned = [f"R.{name}" for name in sorted(cell.parameter_names["U"])]
    learned += [f"p.{name}" for name in sorted(cell.parameter_names["p"])]
    return [*inputs, *learned, *cell.states]


def _known(cell: Cell) -> dict[str, str]:
    """What the names of parameters mean: `x_q` and `q`, `p_A` and `A`, `S`, `S0` and `initial_S`."""
    found: dict[str, str] = {}
    for quantity in _of(cell):
        kind, _, name = quantity.partition(".")
        spelt = (f"{kind}_{name}", name) if name else (kind,) if quantity == INPUT else (
            f"initial_{kind}", f"{kind}0", kind)  # fmt: skip
        for word in spelt:
            found.setdefault(word, quantity)
        found[spelt[0]] = quantity
    return found | ({BEGIN: cell.states[0]} if len(cell.states) == 1 else {})


def _check_complete(call: str, cell: Cell, found: Mapping[str, str]) -> None:
    """Raise ArgumentError where an array, or one of several states, has no parameter, or one has two."""
    given = list(found.values())
    twice = sorted({quantity for quantity in given if given.count(quantity) > 1})
    needed = [quantity for quantity in _of(cell) if quantity not in cell.states]
    states = [state for state in cell.states if state in given]
    missing = [quantity for quantity in needed if quantity not in given]
    missing += [state for state in cell.states if states and state not in states]
    if twice or missing:
        raise ArgumentError(call, "every array of the cell must have one parameter",
                            ", ".join([f"none for {name}" for name in missing] + [f"two for {name}" for name in twice]),
                            'name it so, or write layout = {"theirs": "x.name: batch time width"}')  # fmt: skip
