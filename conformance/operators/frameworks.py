"""The framework of a function: the one that it names, or the one that its module uses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from conformance.operators.function import Function
from rnnspec.errors import ArgumentError, BackendUnavailable

__all__ = ["FRAMEWORKS", "function_of"]

FRAMEWORKS = {
    "torch": "conformance.operators.torch_function:TorchFunction",
    "jax": "conformance.operators.jax_function:JaxFunction",
    "numpy": "conformance.operators.numpy_function:NumpyFunction",
}
"""The adapters by framework, NumPy last, since the others' modules use it too."""


def function_of(call: str, given: Callable[..., Any]) -> type[Function]:
    """The adapter of a function; raises ArgumentError where it shows no framework."""
    named = getattr(given, "framework", "") or _seen(given)
    if named not in FRAMEWORKS:
        raise ArgumentError(call, f"the framework of an operator must be one of {', '.join(FRAMEWORKS)}",
                            repr(named) if named else "none that its module uses",
                            'write yourfunction.framework = "torch"')  # fmt: skip
    module, _, name = FRAMEWORKS[named].partition(":")
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise BackendUnavailable(call, f"{named} must be installed", str(error), f"pip install {named}") from error


def _seen(given: Callable[..., Any]) -> str:
    """The first framework in the module of a function and in what it closes over, or in the modules that these use."""
    inner = given
    while isinstance(inner, functools.partial):
        inner = inner.func
    values = list(_values(inspect.unwrap(inner)))
    beyond = [other for value in values if isinstance(value, ModuleType) for other in vars(value).values()]
    for used in (values, beyond):
        packages = set(map(_package, used))
        found = [name for name in FRAMEWORKS if name in packages]
        if found:
            return found[0]
    return ""


def _values(function: Callable[..., Any]) -> Iterator[Any]:
    own = function if hasattr(function, "__globals__") else vars(type(function)).get("__call__")
    yield function
    yield from getattr(own, "__globals__", {}).values()
    yield from (cell.cell_contents for cell in getattr(own, "__closure__", None) or () if _is_full(cell))


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _package(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return name.partition(".")[0] if isinstance(name, str) else ""
