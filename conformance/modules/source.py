"""A source of modules, with the cell that they must compute: its capabilities, and modules of any size."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from conformance.cases import INPUTS, hidden_for
from conformance.modules.families import SIDES, family_of
from conformance.modules.family import Family, Size
from conformance.modules.lesser_cells import judged_cell
from rnnspec.contract.capabilities import Capabilities
from rnnspec.convert.layout import Layout
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.network import DIRECTIONS
from rnnspec.tracing.cell import Cell

__all__ = ["Source", "source"]

HALVES = ("forward", "reverse")


@dataclass(frozen=True)
class Source:
    """The object that a spec names: a class, a factory, or a module of fixed size."""

    spec: str
    thing: Any
    family: Family
    row: Layout
    cell: Cell
    lacks: tuple[str, ...] = ()

    @property
    def call(self) -> str:
        """The call that errors name."""
        return f"--module {self.spec}"

    @property
    def is_class(self) -> bool:
        """Whether the object is a class."""
        return isinstance(self.thing, type) and issubclass(self.thing, self.family.kind)

    @property
    def is_fixed(self) -> bool:
        """Whether the object is a module of fixed size."""
        return isinstance(self.thing, self.family.kind)

    def make(self, size: Size) -> Any:
        """A module of a size; raises ArgumentError where it cannot be made."""
        if self.is_fixed:
            return self.family.ready(self.thing, size)
        try:
            with self.family.making(size.precision):
                made = self.family.construct(self.thing, size, self.row.options) if self.is_class else _from_factory(
                    self.thing, size)  # fmt: skip
                return self.family.ready(made, size)
        except TypeError as error:
            raise ArgumentError(self.call, "a class or factory must take the numbers of inputs and hidden units, as "
                                f"{self.family.framework}'s own layers do", str(error),
                                "give a factory (inputs, hidden) -> module, or an instance") from error  # fmt: skip

    @cached_property
    def capabilities(self) -> Capabilities:
        """The capabilities of the module, without those that the user leaves out."""
        family = self.family
        sample = self.make(_sample(self.cell))
        found = Capabilities(
            cells=(self.cell,), precisions=family.own_precisions(sample) if self.is_fixed else family.precisions,
            directions=self._directions(sample), sizes=self._sizes(sample) if self.is_fixed else None,
            lengths=family.has_lengths(sample),
            empty_rows=family.has_empty_rows(sample), gradients=family.has_gradients, policies=False,
            concurrent=False, paths=(),
        )  # fmt: skip
        lacking: dict[str, Any] = dict.fromkeys(self.lacks, False)
        return replace(found, **lacking)

    def _directions(self, sample: Any) -> tuple[str, ...]:
        if self.is_class:
            return self.family.directions(self.thing)
        halves = self.family.halves(sample)
        if callable(self.thing) and "direction" in _parameters(self.thing):
            halves = HALVES
        return tuple(name for name, own in DIRECTIONS.items() if set(own) <= set(halves))

    def _sizes(self, thing: Any) -> tuple[tuple[int, int], ...]:
        tensors = self.family.tensors(self.call, thing, self.row, self.family.halves(thing)[0])
        if not self.cell.graph.names("map"):
            raise UnsupportedError(self.call, "an instance must have recurrent maps, which show its size",
                                   f"none in {self.cell.name}", "give its class, or a factory")  # fmt: skip
        inputs, hidden = self.row.widths(tensors)
        return ((inputs, hidden if isinstance(hidden, int) else hidden["h"]),)

    def check(self) -> None:
        """Raise TreeError where a module lacks the tensors of the row in a half."""
        sample = self.make(_sample(self.cell))
        for half in self.family.halves(sample):
            self.family.tensors(self.call, sample, self.row, half)


def source(spec: str, thing: Any, cell: Cell, lacks: tuple[str, ...] = ()) -> Source:
    """The source of the object that a spec names; raises an RnnSpecError, which says what is needed."""
    call = f"--module {spec}"
    family, is_class = family_of(thing)
    sample = thing
    if family is None and callable(thing):
        sample = _from_factory(thing, _sample(cell))
        family, is_class = family_of(sample)
    if family is None or (is_class and sample is not thing):
        raise ArgumentError(call,
                            f"it must be a module of {', '.join(SIDES)}, its class, or a factory (inputs, hidden) "
                            "-> module", type(sample).__name__,
                            "wrap it in a module, or write a backend (docs/adding.md)")  # fmt: skip
    refused: list[TreeError] = []
    for row in _rows(call, thing if is_class else sample, family, cell):
        judged = judged_cell(row)
        if judged is None:
            raise UnsupportedError(call, f"every map of {cell.name} must be in a tensor",
                                   f"no place for {', '.join(sorted(row.absent))}",
                                   "add the tensor that holds it to the layout")  # fmt: skip
        found = Source(spec, thing, family, row, judged, lacks)
        try:
            found.check()
        except TreeError as error:
            refused.append(error)
        else:
            return found
    raise refused[0]


def _rows(call: str, thing: Any, family: Family, cell: Cell) -> list[Layout]:
    """The rows of the module's own `layout`, or of the framework's table: with all biases, then without the second."""
    own = getattr(thing, "layout", None)
    if isinstance(own, Layout):
        return [replace(own, cell=cell)]
    if isinstance(own, Mapping):
        return [Layout(getattr(thing, "__name__", type(thing).__name__), cell, own)]
    rows = [row for known in family.table if (row := known.of(cell)) is not None]
    if not rows:
        names = ", ".join(dict.fromkeys(known.cell.name for known in family.table))
        raise UnsupportedError(call, f"{family.framework} must have the cell, or the class an attribute `layout` that "
                               f"gives the maps stacked in each tensor; {family.framework} has {names}", cell.name,
                               'write layout = {"weight_ih": "W.i W.f", ...}')  # fmt: skip
    fewer = [replace(row, tensors={t: names for t, names in row.tensors.items() if t != optional})
             for row in rows for optional in row.optional]  # fmt: skip
    return rows + [row for row in fewer if row.absent == rows[0].absent]


def _sample(cell: Cell) -> Size:
    return Size(INPUTS, hidden_for(cell), "forward", "f32")


def _from_factory(factory: Any, size: Size) -> Any:
    direction = {"direction": size.half} if "direction" in _parameters(factory) else {}
    return factory(size.inputs, size.hidden, **direction)


def _parameters(function: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
