"""A function of this process, tested without a module to import it from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from conformance.findings.finding import Finding
from conformance.operators.backend import OperatorBackend
from conformance.operators.operator import operator
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec.tracing.cell import Cell

__all__ = ["findings"]


def findings(
    function: Callable[..., Any], cell: Cell, *, only: Iterable[str] = (), precision: str = "f32", examples: int = 4,
    seed: int = 0, lacks: Iterable[str] = (),
) -> dict[str, Finding]:
    """What each law finds in a function that must compute a cell, by the law's id; all laws where `only` is empty.

    A law that does not hold raises nothing: its finding has the status, the evidence, and the case as code. `lacks` are
    the words of `--without`. Raises an RnnSpecError where the function cannot be called by the names of the cell.
    """
    name = getattr(function, "__name__", type(function).__name__)
    backend = OperatorBackend(operator(name, function, cell, tuple(lacks)), cell.name, precision)
    chosen, able = tuple(only), backend.capabilities
    examination = Examination(backend, Scope(able.cells or (), brief=True, closed=True), seed, examples, labels=5)
    return {law.id: examination.judge(law) for law in properties() if not chosen or law.id in chosen}
