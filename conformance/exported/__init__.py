"""Exported networks judged as backends: what `rnnspec.export` writes is run, and compared with the oracle.

    program        what an exported network must do, and the table of the kinds
    numpy_program  an exported Python file
    c_program      an exported C header, compiled
    onnx_program   an exported ONNX file
    beginning      what a network begins with
    parts          resets by calling
    backend        a kind as a backend of rnnspec without gradients
"""

from __future__ import annotations

from conformance.exported.backend import PREFIX, ExportedBackend, is_exported, load
from conformance.exported.program import KINDS, Kind

__all__ = ["KINDS", "PREFIX", "ExportedBackend", "Kind", "is_exported", "load"]
