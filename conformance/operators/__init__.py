"""Operators tested as backends: functions of named arrays, such as `chunk_gla(q, k, v, g, initial_state)`.

    layout           the order of the axes of each array, as plain data
    signature        what each parameter is, by the names of a cell
    packing          rows packed into one, for cumulative lengths
    function         the interface of a framework's functions; one module for each of torch, JAX and NumPy
    frameworks       the framework of a function
    operator         a function with the cell that it must compute: its capabilities, and a call in the suite's axes
    backend          an operator as a backend of rnnspec
    checking         a function of this process, tested without a module to import it from

What an operator lacks is declared and never emulated. Its final states alone may come from the declaration, where it
returns none, and the report says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.operators.backend import OperatorBackend, load

if TYPE_CHECKING:
    from conformance.operators.checking import findings

__all__ = ["OperatorBackend", "findings", "load"]


def __getattr__(name: str) -> Any:
    """`findings` is imported when it is used, since it imports all laws."""
    if name != "findings":
        raise AttributeError(name)
    from conformance.operators import checking  # noqa: PLC0415

    return checking.findings
