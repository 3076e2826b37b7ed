"""What a layer or an operator may see after a row's end."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.capabilities import Capabilities
from rnnspec.errors import UnsupportedError

__all__ = ["check_padding"]

Array = Any


def check_padding(call: str, able: Capabilities, inputs: Array, lengths: Array | None) -> None:
    """Raise UnsupportedError where padding is not finite and the capabilities do not have `any_padding`."""
    padded = False if lengths is None else np.arange(len(inputs))[:, None] >= lengths
    if not able.any_padding and not np.isfinite(inputs[padded]).all():
        raise UnsupportedError(call, "padding must be finite, as declared", "NaN or infinity",
                               "leave out `--without any_padding`")  # fmt: skip
