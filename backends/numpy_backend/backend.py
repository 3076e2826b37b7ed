"""The NumPy backend."""

from __future__ import annotations

import numpy as np

from rnnspec.backend import Backend


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    version = np.__version__
