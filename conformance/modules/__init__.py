"""Existing modules tested as backends: PyTorch modules, Keras layers, Flax nnx modules and ONNX models.

    spec           the object that `package:Thing` or a file names
    family         the interface of a framework's adapter, and of a running module
    families       the adapters of the four frameworks, each imported when it is needed
    form           what a module is given and returns, as plain data
    naming         which parameters of a module hold which tensors
    source         a module with the cell that it must compute: its capabilities, and modules of any size
    trial          the first calls of a module, whose errors are reported once
    completing     the oracle's numbers in place of what a form does not return
    padding        what a module or an operator may see after a row's end
    backend        a source as a backend of rnnspec

The tables of `rnnspec.convert` write parameters into the module. The adapter declares the capabilities that the module
lacks, and never emulates them.
"""

from __future__ import annotations

from conformance.modules.backend import ModuleBackend, load
from conformance.modules.spec import is_module

__all__ = ["ModuleBackend", "is_module", "load"]
