"""The table of what a network can be exported to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnnspec.export.c_source import to_c
from rnnspec.export.exported import Exported
from rnnspec.export.numpy_source import to_numpy
from rnnspec.export.onnx_file import to_onnx, to_onnx_step
from rnnspec.export.stablehlo import to_stablehlo

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """One form of an exported network: its ending, what it is, and the function that makes it.

    `options` are the keyword arguments of the function that the command offers. `is_named` says that names in the file
    begin with that of the file.
    """

    ending: str
    says: str
    export: Callable[..., Exported]
    options: tuple[str, ...] = ("precision",)
    is_named: bool = False


TARGETS = {
    "numpy": Target(".py", "a Python file that needs NumPy alone", to_numpy, ("precision", "beside", "int8"), True),
    "c": Target(".h", "a C99 header that needs libm alone", to_c, ("precision", "beside", "int8", "most_steps"),
                True),
    "onnx": Target(".onnx", "an ONNX file", to_onnx, ("precision", "operators")),
    "onnx-step": Target(".onnx", "one step of a stream as an ONNX file", to_onnx_step),
    "stablehlo": Target(".stablehlo", "a StableHLO artifact of jax.export", to_stablehlo,
                        ("precision", "steps", "batch", "text")),
}
"""The targets by the name that `--to` takes. An export that needs a library imports it within its function."""
