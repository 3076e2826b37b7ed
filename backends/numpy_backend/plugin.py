"""The entry point of the NumPy backend."""

from __future__ import annotations

from rnnspec.interface.backend import Backend
from rnnspec.interface.plugins import hookimpl


@hookimpl
def rnnspec_backend(name: str, device: str | None, precision: str) -> Backend:
    """The NumPy backend."""
    from backends.numpy_backend.backend import NumpyBackend  # noqa: PLC0415  # imported only when it is used

    return NumpyBackend(device, precision)
