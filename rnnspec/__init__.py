"""rnnspec: the executable specification of recurrent networks.

A cell's equations, the output layer and the gradient policies are each declared once; any backend runs the
declaration, and `python -m conformance` proves that it does.
"""

from rnnspec import cells, decoding, errors, initialisers, losses, policies, primitives, updates
from rnnspec.backend import Backend
from rnnspec.capabilities import Capabilities
from rnnspec.cell import Cell, cell, out
from rnnspec.flow import GradientFlow, gradient_flow
from rnnspec.kernel import Call, Kernel, Path
from rnnspec.network import Layer, Network
from rnnspec.output import Dense, Last, Steps
from rnnspec.plugins import Mutant, backend_names, get_backend, hookimpl
from rnnspec.results import Gradients, LayerResult, Result, Step, Trained
from rnnspec.rule import chain
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
