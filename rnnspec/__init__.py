"""rnnspec: the executable specification of recurrent networks.

You declare a cell's equations, the output layer and the gradient policies once. Every backend runs the declaration, and
`python -m conformance` tests that it does.
"""

import sys
from functools import partial
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from rnnspec import former
from rnnspec.showing import missing
from rnnspec.tracing.cell import Cell, cell, out

if TYPE_CHECKING:
    from rnnspec import cells, decoding, errors, initialisers, losses, noise, policies, primitives, updates
    from rnnspec.analysis.flow import GradientFlow, gradient_flow
    from rnnspec.contract.capabilities import Capabilities
    from rnnspec.contract.kernel import Call, Kernel, Path
    from rnnspec.contract.results import Gradients, LayerResult, Result, Step, Trained
    from rnnspec.control.rule import chain
    from rnnspec.derivation.linearity import Linearity, linearity
    from rnnspec.embedding import Embedding
    from rnnspec.feed_forward import LayerNorm, RMSNorm
    from rnnspec.interface.backend import Backend
    from rnnspec.interface.bound import Bound
    from rnnspec.interface.plugins import Mutant, backend_names, get_backend, hookimpl
    from rnnspec.layer import Layer
    from rnnspec.network import Network
    from rnnspec.noise.key import Key
    from rnnspec.noise.kinds import Dropout
    from rnnspec.output import Dense, Last, Steps, Tied
    from rnnspec.storage import load, save
    from rnnspec.windows import Windows
    from rnnspec.workers.group import Group

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "Bound",
    "Call",
    "Capabilities",
    "Cell",
    "Dense",
    "Dropout",
    "Embedding",
    "GradientFlow",
    "Gradients",
    "Group",
    "Kernel",
    "Key",
    "Last",
    "Layer",
    "LayerNorm",
    "LayerResult",
    "Linearity",
    "Mutant",
    "Network",
    "Path",
    "RMSNorm",
    "Result",
    "Step",
    "Steps",
    "Tied",
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
    "linearity",
    "load",
    "losses",
    "noise",
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
    "derivation.linearity": ("Linearity", "linearity"),
    "embedding": ("Embedding",),
    "feed_forward": ("LayerNorm", "RMSNorm"),
    "interface.backend": ("Backend",),
    "interface.bound": ("Bound",),
    "interface.plugins": ("Mutant", "backend_names", "get_backend", "hookimpl"),
    "network": ("Layer", "Network"),
    "noise.key": ("Key",),
    "noise.kinds": ("Dropout",),
    "output": ("Dense", "Last", "Steps", "Tied"),
    "storage": ("load", "save"),
    "windows": ("Windows",),
    "workers.group": ("Group",),
}
"""The public names of each module; a module is imported when one of its names is used."""

former.keep()


def __getattr__(name: str) -> Any:
    """A public name, or a module of the package."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    try:
        found = import_module(f"{__name__}.{home or name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise missing(__name__, name, () if name.startswith("_") else _everything()) from None
    return globals().setdefault(name, getattr(found, name) if home else found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _everything() -> list[str]:
    """The public names of the package, and those of its public modules."""
    values = [getattr(sys.modules[__name__], name) for name in __all__]
    modules = [value for value in values if isinstance(value, ModuleType)]
    return [*(f"{module.__name__}.{name}" for module in modules for name in _offered(module)), *__all__]


def _offered(module: ModuleType) -> list[str]:
    """The names that a module offers: without a list of them its own, not the functions and modules that it imports."""
    there = vars(module)
    foreign = {n for n, v in there.items() if isinstance(v, FunctionType) and v.__module__ != module.__name__}
    own = (n for n, v in there.items() if n not in foreign and not isinstance(v, ModuleType))
    return [*there.get("__all__", (name for name in own if not name.startswith("_")))]


def _lacks(module: ModuleType, name: str) -> Any:
    raise missing(module.__name__, name, _offered(module))


class _Package(ModuleType):
    """The package. Python sets a module of it when it imports one; a public one then says which name was meant."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            vars(value).setdefault("__getattr__", partial(_lacks, value))
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
for _name in globals().keys() & set(__all__):  # what was imported before
    setattr(sys.modules[__name__], _name, globals()[_name])
