"""A module of a framework as a backend: it gets the parameters, and is called as its users call it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from conformance.cases import Case, load_cell
from conformance.modules.completing import Completion
from conformance.modules.family import Ran, Size, Subject
from conformance.modules.padding import check_padding
from conformance.modules.source import Source, source
from conformance.modules.spec import named
from rnnspec import Backend, Gradients, LayerResult
from rnnspec.contract.kernel import Call
from rnnspec.contract.resets import Resets
from rnnspec.convert.assembly import tree_of
from rnnspec.convert.conversion import Note
from rnnspec.errors import RnnSpecError, UnsupportedError
from rnnspec.running.padding import in_time
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.widths import INPUT
from rnnspec.tree import Tree, leaves, named_map, tree_map

__all__ = ["ModuleBackend", "load"]

Array = Any


class ModuleBackend(Backend):
    """A source in one precision. The module sees the padding after a row's end, and its results are not corrected.

    `raised` are the errors of its first calls that no law has reported yet, `found` what was noted in them.
    """

    def __init__(self, given: Source, cell_name: str, precision: str = "f32", device: str | None = None) -> None:
        self.source, self.cell_name = given, cell_name
        self.name, self.version, self.capabilities = given.spec, given.family.version(), given.capabilities
        self._subjects: dict[str, Subject] = {}
        self.raised: list[Any] = []
        self.found: list[str] = []
        super().__init__(device, precision)
        if given.family.is_compiled:
            self.programs_compiled = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the conversion, as its table declares them, and where module and cell have other parameters."""
        given = self.source
        found = [Note.SUMMED_BIASES.value] * bool(given.row.repeated)
        found += [Note.NO_INNER_BIAS.value] * (given.absent == {"p.n"})
        if given.absent - {"p.n"}:
            found.append(f"the module has no {', '.join(sorted(given.absent))}: it is tested as {given.cell.name}, "
                         "which has zeros there")  # fmt: skip
        if given.outside:
            found.append(f"{', '.join(given.outside)} keep the numbers that the module gives them: the layout says "
                         "that they hold no map of the cell")  # fmt: skip
        form = given.family.form
        if form and (form.outputs != "all" or set(form.gives) != set(given.cell.states)):
            found.append(f"the module is tested on what it returns ({form.text}): the suite's own numbers stand in for "
                         "the rest")  # fmt: skip
        return (*found, *self.found)

    @property
    def is_begun_by_itself(self) -> bool:
        """Whether the module cannot be given all initial states, and begins with zeros."""
        form = self.source.family.form
        return form is not None and set(form.takes) != set(self.source.cell.states)

    def fitted(self, case: Any) -> Any:
        """A case that the module can run: one of zeros, where it begins by itself."""
        return replace(case, fresh=True) if self.is_begun_by_itself and isinstance(case, Case) else case

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the module depends on."""
        return self.source.family.environment()

    def shown(self, inputs: Array, lengths: Array | None) -> Array:
        check_padding(self.source.call, self.capabilities, inputs, lengths)
        return inputs

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        half = call.place.rpartition(".")[2]
        tensors = self.source.row.spread(dict(leaves(params)))
        hidden = _hidden(cell, state)
        subject = self._subject(call.place, Size(call.inputs, hidden, half, self.precision))
        x = in_time(self.arrays, half, inputs, lengths)
        form, completion = self.source.family.form, None
        if form:
            completion = Completion(self.source.call, form, cell, hidden, params, x, state, lengths)
            completion.check()
        ran = subject.run(tensors, x, state, lengths, call.pullback)
        if completion:
            ran = Ran(*completion.results(ran), ran.pull)
        if self.source.family.is_compiled:
            self.programs_compiled = sum(one.programs for one in self._subjects.values())
        self._check(ran.outputs, ran.state, inputs, state)
        self._note_shared(ran)
        outputs = in_time(self.arrays, half, np.array(ran.outputs), lengths)
        return LayerResult(outputs, tree_map(np.array, ran.state), self.version, (ran.pull, half, lengths, completion))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        pull, half, lengths, completion = result.saved
        output = in_time(self.arrays, half, output_cotangent, lengths)
        mine = rest = (output, state_cotangent)
        if completion:
            mine, rest = completion.shared(*mine)
        tensors, inputs, state = pull(*mine)
        shapes = {name: a.shape for name, a in leaves(params)}
        own = tree_of(self.source.row.gathered(tensors, shapes))
        if completion:
            others = completion.gradients(*rest)
            own = named_map(lambda name, a: a + dict(leaves(others[0]))[name], own)
            begun = completion.gradients(output, state_cotangent)[2]
            inputs = inputs + others[1]
            state = {name: a + others[2][name] if name in completion.form.takes else begun[name]
                     for name, a in state.items()}  # fmt: skip
        return Gradients(own, in_time(self.arrays, half, np.array(inputs), lengths), tree_map(np.array, state))

    def _subject(self, place: str, size: Size) -> Subject:
        """The module of a layer. Layers of one size have separate modules, which keep their weights for pullbacks."""
        key = f"{place} {size!r}"
        if key not in self._subjects:
            given = self.source
            thing = given.make(size)
            given.family.tensors(given.call, thing, given.row, size.half)
            self._subjects[key] = given.family.subject(given.call, thing, given.row, size)
        return self._subjects[key]

    def _note_shared(self, ran: Ran) -> None:
        """Note where results share memory: a backend's may not, a layer's may."""
        arrays = {"the outputs": ran.outputs, **{f"the final {name}": a for name, a in ran.state.items()}}
        pairs = [pair for pair in combinations(arrays, 2) if np.shares_memory(*(arrays[name] for name in pair))]
        notes = [f"{one} and {other} share memory: who writes into one changes the other" for one, other in pairs]
        self.found += [note for note in notes if note not in self.found]

    def _check(self, outputs: Array, final: Tree, inputs: Array, state: Tree) -> None:
        """Raise an error where the module returned arrays of other shapes or another precision."""
        found = {"outputs": outputs.shape[:2], **tree_map(lambda a: a.shape, final)}
        wanted = {"outputs": inputs.shape[:2], **tree_map(lambda a: a.shape, state)}
        dtypes = {str(a.dtype) for a in (outputs, *final.values())}
        if found != wanted or dtypes != {str(inputs.dtype)}:
            got = f"{found} of {', '.join(sorted(dtypes))}"
            raise _Misshapen(self.source.call, f"the module must return {wanted} of {inputs.dtype}", got,
                             "see how modules are called in docs/conformance.md")  # fmt: skip


def _hidden(cell: Cell, state: Tree) -> int | dict[str, int]:
    """`hidden` of a layer, as far as its states show it."""
    shown: dict[str, int] = {}
    for name, a in state.items():
        shown |= {name: a.shape[1]} if a.ndim < 3 else {f"{name}.rows": a.shape[1], f"{name}.columns": a.shape[2]}
    free = [members for members in cell.width_classes if not members & {*cell.numbers, INPUT}]
    widths = {name: width for name, width in shown.items() if any(name in members for members in free)}
    is_one = len(free) < 2 and not any("." in name for name in widths)
    return next(iter((widths or shown).values())) if is_one else widths


class _Misshapen(RnnSpecError, AssertionError):
    """A module returned something else than outputs and final states."""


def load(
    spec: str, cell_name: str, precision: str, lacks: tuple[str, ...] = (), device: str | None = None, layout: str = "",
    form: str = "",
) -> ModuleBackend:
    """The backend of the module that a spec names, which must compute a cell, with the name of its layout and its form.

    Raises an RnnSpecError, which is an UnsupportedError where the module lacks the precision.
    """
    given = source(spec, named(spec), load_cell(cell_name), lacks, named(layout) if layout else None, form)
    given = replace(given, layout=layout, form=form)
    if precision not in given.capabilities.precisions:
        raise UnsupportedError(given.call, "precision must be one that the module has", repr(precision),
                               f"choose one of {', '.join(given.capabilities.precisions)}")  # fmt: skip
    return ModuleBackend(given, cell_name, precision, device)
