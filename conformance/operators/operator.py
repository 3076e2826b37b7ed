"""An operator: a function of named arrays, with the cell that it must compute, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.operators.frameworks import function_of
from conformance.operators.function import Called, Function
from conformance.operators.layout import OUTPUTS, Layout, Misshapen
from conformance.operators.packing import Packing
from conformance.operators.signature import Signature, bound
from rnnspec.contract.capabilities import Capabilities
from rnnspec.errors import ArgumentError
from rnnspec.tracing.cell import Cell

__all__ = ["HEADS", "Operator", "Ran", "operator"]

Array = Any
HEADS = 2
"""The heads of a network for an operator that has an axis for them."""
OWN = ("states", "extremes")
"""What an operator alone may lack: initial states, and numbers that are not finite or in the hundreds."""
SHARABLE = ("x.", "p.", "R.", "x")


@dataclass(frozen=True)
class Ran:
    """The results in the suite's axes: outputs (time, batch, heads, width), and the final states, if any."""

    outputs: Array
    state: dict[str, Array]
    pull: Callable[[Array, Mapping[str, Array]], dict[str, Array]] | None


@dataclass(frozen=True)
class Operator:
    """A function with the cell that it must compute. The cell has heads where the layout has an axis for them."""

    spec: str
    function: Function
    cell: Cell
    layout: Layout
    signature: Signature
    lacks: tuple[str, ...] = ()

    @property
    def call(self) -> str:
        """The call that errors name."""
        return f"--op {self.spec}"

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities that its signature shows, without those that the user leaves out."""
        has = self.signature.has
        found = Capabilities(
            cells=(self.cell,), precisions=("f32", "f64"), directions=("forward",), recur=True,
            lengths=has("lengths") or has("cu_seqlens"), resets=has("resets"), gradients=self.function.has_gradients,
            policies=False, concurrent=False, paths=(), heads=self.cell.heads is not None,
        )  # fmt: skip
        lacking: dict[str, Any] = {name: False for name in self.lacks if name not in OWN}
        return replace(found, **lacking)

    @property
    def has_states(self) -> bool:
        """Whether it takes initial states."""
        return "states" not in self.lacks and any(self.signature.has(state) for state in self.cell.states[:1])

    def run(
        self, arrays: Mapping[str, Array], ends: Array | None, resets: Array | None, steps: int, pullback: bool
    ) -> Ran:
        """Call it with arrays by quantity in the suite's axes; `ends` and `resets` where the call has them."""
        packing = Packing(steps, ends) if ends is not None and self.signature.has("cu_seqlens") else None
        given: dict[str, Array] = {}
        for parameter, quantity in self.signature.quantities.items():
            found = self._argument(quantity, arrays, ends, resets, packing)
            if found is not None:
                given[parameter] = self.layout.arranged(quantity, found, parameter) if quantity in arrays else found
        called = self.function.run(given, pullback)
        if len(called.results) not in (1, 1 + len(self.cell.states)):
            raise Misshapen(self.call, "it must return outputs, or outputs and all final states",
                            f"{len(called.results)} arrays", f"return o, or o, {', '.join(self.cell.states)}")
        outputs, *final = called.results
        outputs = self._apart(packing, self.layout.canonical(OUTPUTS, outputs))
        state = {name: self._state(name, a) for name, a in zip(self.cell.states, final, strict=False)}
        return Ran(outputs, state, self._pull(called, arrays, packing) if pullback else None)

    def _argument(
        self, quantity: str, arrays: Mapping[str, Array], ends: Array | None, resets: Array | None,
        packing: Packing | None,
    ) -> Array | None:
        """What a parameter gets, None where it is left out."""
        if quantity == "cu_seqlens":
            return None if packing is None else packing.cumulative
        if quantity == "lengths":
            return None if ends is None or packing is not None else np.asarray(ends, np.int64)
        if quantity == "resets":
            return None if resets is None else self.layout.arranged("resets", resets)
        if quantity in self.cell.states and not self.has_states:
            return None
        in_time = quantity == "x" or quantity.startswith("x.")
        return packing.packed(arrays[quantity]) if packing and in_time else arrays[quantity]

    def _state(self, name: str, a: Array) -> Array:
        parameter = self.signature.parameter(name) if self.signature.has(name) else ""
        return self.layout.canonical(name, a, parameter)

    def _apart(self, packing: Packing | None, a: Array) -> Array:
        return a if packing is None else packing.apart(a)

    def _pull(
        self, called: Called, arrays: Mapping[str, Array], packing: Packing | None
    ) -> Callable[[Array, Mapping[str, Array]], dict[str, Array]]:
        def pull(output: Array, states: Mapping[str, Array]) -> dict[str, Array]:
            d = output if packing is None else packing.packed(output)
            parameters = [self.signature.parameter(s) if self.signature.has(s) else "" for s in self.cell.states]
            cotangents = [self.layout.arranged(OUTPUTS, d)]
            cotangents += [self.layout.arranged(s, states[s], parameter)
                           for s, parameter in zip(self.cell.states, parameters, strict=True)]  # fmt: skip
            found = called.pull(cotangents[: len(called.results)]) if called.pull else {}
            own: dict[str, Array] = {}
            for parameter, g in found.items():
                quantity = self.signature.quantities[parameter]
                in_time = quantity == "x" or quantity.startswith("x.")
                turned = self.layout.canonical(quantity, g, parameter)
                own[quantity] = self._apart(packing if in_time else None, turned)
            return own

        return pull


def operator(spec: str, given: Any, cell: Cell, lacks: tuple[str, ...] = ()) -> Operator:
    """The operator that a spec names; raises an RnnSpecError, which says what is needed."""
    call = f"--op {spec}"
    if not callable(given) or isinstance(given, type):
        raise ArgumentError(call, "it must be a function of arrays", type(given).__name__, "name a function")
    entries = getattr(given, "layout", {})
    if not isinstance(entries, Mapping) or not all(isinstance(text, str) for text in entries.values()):
        raise ArgumentError(call, "layout must map names to axes", repr(entries),
                            'write layout = {"inputs": "batch time heads width"}')  # fmt: skip
    layout = Layout(dict(entries), cell.ranks, call)
    signature = bound(call, given, cell, layout)
    made = function_of(call, given)(call, given, signature.positional)
    found = Operator(spec, made, cell, layout, signature, lacks)
    return replace(found, cell=_with_heads(found)) if layout.has_heads else found


def _with_heads(found: Operator) -> Cell:
    """The cell with heads, which share what has no axis for them."""
    shared = tuple(sorted(
        quantity for parameter, quantity in found.signature.quantities.items()
        if quantity.startswith(SHARABLE) and "heads" not in found.layout.axes(quantity, parameter)
    ))  # fmt: skip
    return replace(found.cell, heads=HEADS, shared=shared)
