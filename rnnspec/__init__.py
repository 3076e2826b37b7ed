"""rnnspec: the executable specification of recurrent networks.

A cell's equations, the output layer and the gradient policies are each declared once; any backend runs the
declaration, and `python -m conformance` proves that it does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnspec import former
from rnnspec.tracing.cell import Cell, cell, out

if TYPE_CHECKING:
    from rnnspec import cells, decoding, errors, initialisers, losses, policies, primitives, updates
    from rnnspec.analysis.flow import GradientFlow, gradient_flow
    from rnnspec.contract.capabilities import Capabilities
    from rnnspec.contract.kernel import Call, Kernel, Path
    from rnnspec.contract.results import Gradients, LayerResult, Result, Step, Trained
    from rnnspec.control.rule import chain
    from rnnspec.interface.backend import Backend
    from rnnspec.interface.plugins import Mutant, backend_names, get_backend, hookimpl
    from rnnspec.network import Layer, Network
    from rnnspec.output import Dense, Last, Steps
    from rnnspec.storage import load, save
    from rnnspec.windows import Windows

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "Call",
    "Capabilities",
    "Cell",
    "Dense",
    "GradientFlow",
    "Gradients",
    "Kernel",
    "Last",
    "Layer",
    "LayerResult",
    "Mutant",
    "Network",
    "Path",
    "Result",
    "Step",
    "Steps",
    "Trained",
    "Windows",
    "backend_names",
    "cell",
    "cells",
    "chain",
    "decoding",
    "errors",
    "get_backend",
    "gradient_flow",
    "hookimpl",
    "initialisers",
    "load",
    "losses",
    "out",
    "policies",
    "primitives",
    "save",
    "updates",
]

_HOMES = {
    "analysis.flow": ("GradientFlow", "gradient_flow"),
    "contract.capabilities": ("Capabilities",),
    "contract.kernel": ("Call", "Kernel", "Path"),
    "contract.results": ("Gradients", "LayerResult", "Result", "Step", "Trained"),
    "control.rule": ("chain",),
    "interface.backend": ("Backend",),
    "interface.plugins": ("Mutant", "backend_names", "get_backend", "hookimpl"),
    "network": ("Layer", "Network"),
    "output": ("Dense", "Last", "Steps"),
    "storage": ("load", "save"),
    "windows": ("Windows",),
}
"""The public names of each module, which is imported when one of them is asked for."""

former.keep()


def __getattr__(name: str) -> Any:
    """A public name, or a module of the package."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    try:
        found = import_module(f"{__name__}.{home or name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return globals().setdefault(name, getattr(found, name) if home else found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
