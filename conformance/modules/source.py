"""A source of modules, with the cell that they must compute: its capabilities, and modules of any size."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from conformance.cases import INPUTS, hidden_for
from conformance.modules.families import SIDES, family_of
from conformance.modules.family import Family, Size
from conformance.modules.form import read
from conformance.modules.lesser_cells import judged_as
from conformance.modules.naming import outside
from rnnspec.contract.capabilities import Capabilities
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError
from rnnspec.layer import DIRECTIONS
from rnnspec.tracing.cell import Cell
from rnnspec.tree import leaves

__all__ = ["Source", "source"]

HALVES = ("forward", "reverse")


@dataclass(frozen=True)
class Source:
    """The object that a spec names: a class, a factory, or a module of fixed size; `absent` are maps that it lacks.

    `layout` is the name of its layout and `form` the text of its form, where they were given beside it.
    """

    spec: str
    thing: Any
    family: Family
    row: Layout
    cell: Cell
    lacks: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    layout: str = ""
    form: str = ""

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
            return self.family.ready(self.family.copied(self.thing), size)
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

    @cached_property
    def outside(self) -> list[str]:
        """The parameters of a module that hold no map of the cell, as its layout says."""
        return outside(self.family.names(self.make(_sample(self.cell))), self.row)

    def check(self) -> None:
        """Raise TreeError where a module lacks the tensors of the row in a half, and ShapeError for other sizes."""
        size = _sample(self.cell)
        sample = self.make(size)
        for half in self.family.halves(sample):
            tensors = self.family.tensors(self.call, sample, self.row, half)
            inputs, hidden = self.row.widths(tensors) if self.is_fixed else (size.inputs, size.hidden)
            shapes = dict(leaves(self.cell.parameter_shapes(inputs, hidden)))
            for name, array in tensors.items():
                wanted = self.row.shape_of(name, shapes)
                if wanted is None or array.size != math.prod(wanted):
                    must = f"have the shape {wanted}" if wanted else "hold equally wide maps in each column"
                    raise ShapeError(self.call, f"{name} must {must} with {inputs} inputs and {hidden} hidden units, "
                                     f"to hold {self.row.tensors[name]}", f"shape {array.shape}",
                                     "correct the layout, or the size that the factory makes")  # fmt: skip


def source(
    spec: str, thing: Any, cell: Cell, lacks: tuple[str, ...] = (), layout: Any = None, form: str = ""
) -> Source:
    """The source of the object that a spec names; raises an RnnSpecError, which says what is needed.

    `layout` is where the module's parameters hold the maps of the cell; by default the object's own, or the tables'.
    `form` is how the module is called; by default the object's own, or as the framework's own layers are.
    """
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
    _take_form(call, family, cell, sample, form or getattr(thing, "form", "") or getattr(sample, "form", ""))
    given = next((own for own in (layout, _own(thing), _own(sample)) if own is not None), None)
    for row in _rows(call, given, family, cell):
        judged = judged_as(row)
        if judged is None:
            raise UnsupportedError(call, f"every map of {cell.name} must be in a tensor",
                                   f"no place for {', '.join(sorted(n for n in row.absent if n[0] in 'WU'))}",
                                   "add the tensor that holds it to the layout")  # fmt: skip
        found = Source(spec, thing, family, judged, judged.cell, lacks, frozenset(row.absent))
        try:
            found.check()
        except TreeError as error:
            refused.append(error)
        else:
            return found
    raise refused[0]


def _take_form(call: str, family: Family, cell: Cell, sample: Any, form: Any) -> None:
    row = layout_for(family.table, cell)
    text = form if isinstance(form, str) and form else family.own_form(sample, row.states if row else cell.states)
    if text:
        if not family.has_forms:
            raise ArgumentError(call, "only a torch module can have a form", repr(text), "leave it out")
        family.form = read(call, text, cell.states, cell.output_state)


def _own(thing: Any) -> Any:
    """The layout that an object has as an attribute, or None."""
    found = getattr(thing, "layout", None)
    return found if isinstance(found, Layout | Mapping) else None


def _rows(call: str, given: Any, family: Family, cell: Cell) -> list[Layout]:
    """The rows of a given layout, or of the framework's table: with all biases, without the second, without any.

    A mapping that gives no tensor any map extends the rows of the table.
    """
    if isinstance(given, Layout):
        row = replace(given, cell=cell)
        row.check_names(call)
        return [row]
    own = dict(given or {})
    beyond = tuple(name for name, text in own.items() if not text)
    if len(beyond) < len(own):
        return [_layout(call, cell, {name: text for name, text in own.items() if text}, beyond)]
    return [replace(row, outside=beyond) for row in _table_rows(call, family, cell)]


def _layout(call: str, cell: Cell, tensors: Mapping[str, str], beyond: tuple[str, ...]) -> Layout:
    """The row of a mapping; raises ArgumentError where a text is none of a tensor, or names no map of the cell."""
    try:
        row = Layout("the module", cell, tensors, outside=beyond)
    except ArgumentError as error:
        raise ArgumentError(call, error.must, error.got, error.do) from error
    row.check_names(call)
    return row


def _table_rows(call: str, family: Family, cell: Cell) -> list[Layout]:
    rows = [row for known in family.table if (row := known.of(cell)) is not None]
    if not rows:
        names = ", ".join(dict.fromkeys(known.cell.name for known in family.table))
        raise UnsupportedError(call, f"{family.framework} must have the cell, or the class an attribute `layout` that "
                               f"gives the maps stacked in each tensor; {family.framework} has {names}", cell.name,
                               'write layout = {"weight_ih": "W.i W.f", ...}')  # fmt: skip
    fewer = [replace(row, tensors={t: names for t, names in row.tensors.items() if t != optional})
             for row in rows for optional in row.optional]  # fmt: skip
    bare = [replace(row, tensors={t: names for t, names in row.tensors.items() if t not in row.optional})
            for row in rows if len(row.optional) > 1]  # fmt: skip
    return rows + [row for row in fewer if row.absent == rows[0].absent] + bare


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
