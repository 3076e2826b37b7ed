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
    function: Callable[..., Any], cell: Cell, only: Iterable[str], precision: str, examples: int, seed: int,
    lacks: Iterable[str],
) -> dict[str, Finding]:
    """What `conformance.check_function` returns."""
    name = getattr(function, "__name__", type(function).__name__)
    backend = OperatorBackend(operator(name, function, cell, tuple(lacks)), cell.name, precision)
    chosen, able = tuple(only), backend.capabilities
    examination = Examination(backend, Scope(able.cells or (), brief=True, closed=True), seed, examples, labels=5)
    return {law.id: examination.judge(law) for law in properties() if not chosen or law.id in chosen}
