"""Functions of NumPy arrays, which nothing differentiates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from conformance.operators.function import Array, Called, Function, Overwritten

__all__ = ["NumpyFunction"]


class NumpyFunction(Function):
    """A function of NumPy arrays."""

    framework = "numpy"
    has_gradients = False

    def run(self, arrays: Mapping[str, Array], pullback: bool) -> Called:
        given = {name: np.array(a, order="C") for name, a in arrays.items()}
        found = [np.array(a) for a in self.asked(given)]
        for name, a in given.items():
            if not np.array_equal(a, arrays[name], equal_nan=a.dtype.kind == "f"):
                raise Overwritten(self.call, "it must not modify its arguments", f"other numbers in {name}",
                                  "write into new memory")  # fmt: skip
        return Called(found, None)

    def version(self) -> str:
        return f"numpy {np.__version__}"
