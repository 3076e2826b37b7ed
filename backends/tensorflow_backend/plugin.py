"""The entry point of the TensorFlow backend."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from backends.tensorflow_backend.quiet import quiet
from rnnspec.interface.backend import Backend
from rnnspec.interface.plugins import hookimpl, unavailable


@hookimpl
def rnnspec_backend(name: str, device: str | None, precision: str) -> Backend:
    """The TensorFlow backend."""
    try:
        with nullcontext() if "tensorflow" in sys.modules else quiet():
            import tensorflow  # noqa: PLC0415  # imported only when it is used

            tensorflow.config.list_physical_devices()  # reports on standard error, initialises nothing
            from backends.tensorflow_backend.backend import TensorflowBackend  # noqa: PLC0415
    except ImportError as error:
        raise unavailable(name, error) from error
    return TensorflowBackend(device, precision)
