"""Operators tested as backends: functions of named arrays, such as `chunk_gla(q, k, v, g, initial_state)`.

    layout           the order of the axes of each array, as plain data
    signature        what each parameter is, by the names of a cell
    packing          rows packed into one, for cumulative lengths
    function         the interface of a framework's functions; one module for each of torch, JAX and NumPy
    frameworks       the framework of a function
    operator         a function with the cell that it must compute: its capabilities, and a call in the suite's axes
    backend          an operator as a backend of rnnspec

What an operator lacks is declared and never emulated. Its final states alone may come from the declaration, where it
returns none, and the report says so.
"""

from __future__ import annotations

from conformance.operators.backend import OperatorBackend, load

__all__ = ["OperatorBackend", "load"]
