"""The owner of arrays: one framework on one device in one precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES, Capabilities
from rnnspec.errors import UnsupportedError
from rnnspec.showing import choice, shown

__all__ = ["Owner"]


class Owner:
    """A backend's knowledge of its framework's arrays. The base class owns NumPy arrays."""

    name: str = ""
    version: str = ""
    capabilities: Capabilities = Capabilities()

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        self.device = device or self.capabilities.devices[0]
        self.precision = precision
        call = f"get_backend({self.name!r}, device={shown(device)}, precision={shown(precision)})"
        for kind, value, known in (
            ("precision", precision, self.capabilities.precisions),
            ("device", self.device.split(":")[0], self.capabilities.devices),
        ):
            if value not in known:
                raise UnsupportedError(call, f"{kind} must be one that the backend declares", shown(value),
                                       choice(str(value), known))  # fmt: skip

    def is_own(self, array: Any) -> bool:
        """Whether an array is the framework's own."""
        return isinstance(array, np.ndarray | np.generic)

    def own_dtype(self, array: Any) -> str:
        """The name of the dtype of an array of the framework."""
        return str(array.dtype)

    def own_device(self, array: Any) -> str:
        """The device of an array of the framework."""
        return "cpu"

    def own_layout(self, array: Any) -> str:
        """The memory layout of an array of the framework: "dense", or the name of another layout."""
        return "dense"

    def hides(self, array: Any) -> bool:
        """Whether the numbers of an array of the framework cannot be read, as while a program is traced."""
        return False

    def fits(self, array: Any, shape: tuple[int, ...]) -> bool:
        """Whether an array needs no conversion: the framework's own, of the right shape, dtype, device and layout."""
        return (
            self.is_own(array)
            and not isinstance(array, np.ndarray | np.generic)
            and tuple(array.shape) == shape
            and self.own_dtype(array) == DTYPES[self.precision]
            and self.own_device(array).split(":")[0] == self.device.split(":")[0]
        )

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """A copy on the backend's device: real numbers in its precision, integers as indices."""
        kind = DTYPES[self.precision] if array.dtype.kind == "f" else array.dtype
        return np.array(array, dtype=kind)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros in the backend's precision, in new memory."""
        return self.from_numpy(np.zeros(shape))

    def to_numpy_array(self, array: Array) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array."""
        return np.array(array)
