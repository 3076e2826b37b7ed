"""The form of a module's call as a text: what it is given and what it returns.

    "x, (h, c) -> y, (h, c)"      outputs of all steps, and a pair of states (batch, width)
    "x, [h] -> y[-1]"             a state (1, batch, width) is given; the last step of the outputs is returned
    "x -> h"                      the final state alone
    "batch first: x -> y, _"      arrays (batch, time, feature); another result that does not matter
    "x, self.kept=h -> y, self.kept=h.detach()"    a state that is kept in an attribute, cut from its gradient
    "x_t, (h, c) -> (h, c)"       one step: inputs (batch, feature), and the states before and after it
    "x_t, h -> y_t, h"            one step that returns its output besides

>>> form = read("--form", "batch first: x, ([h], c) -> y[-1], (h, c)")
>>> form.takes, form.gives, form.outputs
(('h', 'c'), ('h', 'c'), 'last')
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.errors import ArgumentError

__all__ = ["Form", "Item", "read"]

BATCH_FIRST = "batch first:"
INPUTS, ALL, LAST, OTHER, LENGTHS = "x", "y", "y[-1]", "_", "lengths"
STEP_INPUTS, STEP_OUTPUT = "x_t", "y_t"
SEQUENCES = {INPUTS, ALL, LAST, LENGTHS}
"""The names of what one step does not have."""
RESULTS = (ALL, LAST, OTHER, STEP_OUTPUT)
Tensor = Any


@dataclass(frozen=True)
class Item:
    """One argument or result: names in tuples and lists, perhaps kept in an attribute, perhaps without a gradient."""

    value: Any
    kept: str = ""
    is_cut: bool = False

    @property
    def names(self) -> list[str]:
        """The names in it."""
        return list(_names(self.value))

    def built(self, tensors: Mapping[str, Tensor]) -> Any:
        """The argument of these tensors."""
        return _built(self.value, tensors)

    def parts(self, found: Any) -> dict[str, Tensor]:
        """The tensors of a result by name."""
        return dict(_parts(self.value, found))


@dataclass(frozen=True)
class Form:
    """What a module is given and what it returns; `output_state` is the state that is the output of a step too."""

    text: str
    given: tuple[Item, ...]
    returned: tuple[Item, ...]
    is_batch_first: bool
    output_state: str = ""

    @property
    def is_step(self) -> bool:
        """Whether the module computes one step, and is called in a loop."""
        return self.given[:1] == (Item(STEP_INPUTS),)

    @property
    def names(self) -> set[str]:
        """All names in it."""
        return {name for item in (*self.given, *self.returned) for name in item.names}

    @property
    def takes(self) -> tuple[str, ...]:
        """The states that the module is given."""
        return tuple(name for item in self.given for name in item.names
                     if name not in (INPUTS, STEP_INPUTS, LENGTHS))  # fmt: skip

    @property
    def gives(self) -> tuple[str, ...]:
        """The final states that the module returns."""
        return tuple(name for item in self.returned for name in item.names if name not in RESULTS)

    @property
    def cut(self) -> tuple[str, ...]:
        """The final states that have no gradient."""
        return tuple(name for item in self.returned if item.is_cut for name in item.names)

    @property
    def outputs(self) -> str:
        """The outputs that it returns: `all`, `last`, or the empty text."""
        if self.is_step:
            return "all" if self.shown else ""
        return "all" if ALL in self.names else "last" if LAST in self.names else ""

    @property
    def shown(self) -> str:
        """The result of one step that is its output, or the empty text."""
        return next((name for name in (STEP_OUTPUT, self.output_state) if name in self.names), "")

    @property
    def has_lengths(self) -> bool:
        """Whether the module is given lengths."""
        return any(LENGTHS in item.names for item in self.given)


def read(call: str, text: str, states: tuple[str, ...] | None = None, output_state: str | None = None) -> Form:
    """The form that a text writes; raises ArgumentError where it is none, or names another state than the cell's."""
    body = text.strip().removeprefix(BATCH_FIRST)
    left, arrow, right = body.partition("->")
    try:
        given, returned = tuple(map(_item, _split(left))), tuple(map(_item, _split(right)))
    except (SyntaxError, ValueError):
        given, returned = (), ()
    form = Form(text, given, returned, text.strip().startswith(BATCH_FIRST), output_state or "")
    if arrow and form.is_step:
        _check_step(call, form, states)
        return form
    known = states if states is not None else (*form.takes, *form.gives)
    is_right = arrow and given and returned and given[0] == Item(INPUTS) and {*form.takes, *form.gives} <= {*known}
    if not is_right or not (form.outputs or form.gives) or {STEP_INPUTS, STEP_OUTPUT} & form.names:
        raise ArgumentError(call, 'the form must be written as "x, (h, c) -> y, (h, c)", with the states '
                            f"{', '.join(known) or 'of the cell'}", repr(text), "see docs/conformance.md")  # fmt: skip
    return form


def _check_step(call: str, form: Form, states: tuple[str, ...] | None) -> None:
    known = set(form.takes if states is None else states)
    if not set(form.takes) == set(form.gives) == known or form.is_batch_first or SEQUENCES & form.names:
        raise ArgumentError(call, 'the form of one step must be written as "x_t, (h, c) -> (h, c)" or '
                            '"x_t, h -> y_t, h", with all states '
                            f"({', '.join(states or ()) or 'of the cell'}) before and after it",
                            repr(form.text), "see docs/conformance.md")  # fmt: skip


def _split(text: str) -> list[str]:
    """The parts between the commas that are in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        parts = [*parts, ""] if letter == "," and not depth else [*parts[:-1], parts[-1] + letter]
    return [part.strip() for part in parts]


def _item(text: str) -> Item:
    kept = re.match(r"self\.(\w+)\s*=\s*", text)
    rest = text[kept.end() :] if kept else text
    return Item(_value(ast.parse(rest.removesuffix(".detach()").strip(), mode="eval").body),
                kept[1] if kept else "", rest.endswith(".detach()"))  # fmt: skip


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript) and ast.unparse(node) == LAST:
        return LAST
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.List) and len(node.elts) == 1:
        return [_value(node.elts[0])]
    raise ValueError(ast.unparse(node))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for part in value:
            yield from _names(part)


def _built(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, str):
        return tensors[value]
    return tuple(_built(part, tensors) for part in value) if isinstance(value, tuple) else tensors[value[0]][None]


def _parts(value: Any, found: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, str):
        yield value, found
    elif isinstance(value, list):
        yield value[0], found[0]
    else:
        for part, own in zip(value, found, strict=True):
            yield from _parts(part, own)
