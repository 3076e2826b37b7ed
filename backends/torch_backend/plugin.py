"""The entry point of the PyTorch backend."""

from __future__ import annotations

from rnnspec.interface.backend import Backend
from rnnspec.interface.plugins import hookimpl, unavailable


@hookimpl
def rnnspec_backend(name: str, device: str | None, precision: str) -> Backend:
    """The PyTorch backend."""
    try:
        from backends.torch_backend.backend import TorchBackend  # noqa: PLC0415  # imported only when it is used
    except ImportError as error:
        raise unavailable(name, error) from error
    return TorchBackend(device, precision)
