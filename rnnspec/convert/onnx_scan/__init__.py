"""ONNX models with a Scan: our own lowering, run on symbolic arrays whose operations are nodes of a graph.

    graph       a growing graph with the bodies of its loops, and the symbolic arrays
    functions   the primitives as operators
    arrays      the operations of the contract
    layers      a Scan or an operator for each layer
    model       a run, or a step
    metadata    the network in the model
"""

from __future__ import annotations

from rnnspec.convert.onnx_scan.metadata import read
from rnnspec.convert.onnx_scan.model import Options, write_run, write_step, write_whole

__all__ = ["Options", "read", "write_run", "write_step", "write_whole"]
