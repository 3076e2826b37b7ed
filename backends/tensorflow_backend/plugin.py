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
            import tensorflow  # noqa: PLC0415  # loaded when it is asked for

            tensorflow.config.list_physical_devices()  # looks for devices, which it reports too; nothing is initialised
            from backends.tensorflow_backend.backend import TensorflowBackend  # noqa: PLC0415
    except ImportError as error:
        raise unavailable(name, error) from error
    return TensorflowBackend(device, precision)
