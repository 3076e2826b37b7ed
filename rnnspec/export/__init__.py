"""Networks as programs that need no rnnspec: a Python file for NumPy, a C99 header, an ONNX file, StableHLO.

    exported        the files of an exported network
    targets         the table of targets
    command         `python -m rnnspec export`
    settings        what an export is asked for, checked
    equations       the equations of a layer with widths, and names for their values
    fixed           what the equations make of parameters alone
    rounding        weights in 8 bits, and the error that they make
    origin          what an exported function says of its cell
    notation        precedence, as Python and C have it
    numpy_source    the Python file: its parts in numpy_template, the functions of cells in numpy_cell
    c_source        the C header: its parts in c_template and c_running, the functions of halves in c_cell, which
                    c_plan puts in order, weights in c_weights, words in c_words
    onnx_file       the ONNX file, which rnnspec.convert writes
    stablehlo       the artifact of jax.export

>>> from rnnspec import Layer, Network, cells
>>> net = Network(3, [Layer(cells.lstm, 4)])
>>> exported = to_numpy(net, net.init(0))
>>> "i = sigmoid(x @ W.i.T + b.i + h @ U.i.T)" in exported.main.decode()
True
"""

from __future__ import annotations

from rnnspec.export.c_source import to_c
from rnnspec.export.exported import Difference, Exported
from rnnspec.export.numpy_source import to_numpy
from rnnspec.export.onnx_file import to_onnx, to_onnx_step
from rnnspec.export.stablehlo import to_stablehlo
from rnnspec.export.targets import TARGETS, Target

__all__ = ["TARGETS", "Difference", "Exported", "Target", "to_c", "to_numpy", "to_onnx", "to_onnx_step",
           "to_stablehlo"]  # fmt: skip
