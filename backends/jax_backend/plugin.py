"""The entry point of the JAX backend."""

from __future__ import annotations

from rnnspec.interface.backend import Backend
from rnnspec.interface.plugins import hookimpl, unavailable


@hookimpl
def rnnspec_backend(name: str, device: str | None, precision: str) -> Backend:
    """The JAX backend."""
    try:
        from backends.jax_backend.backend import JaxBackend  # noqa: PLC0415  # imported only when it is used
    except ImportError as error:
        raise unavailable(name, error) from error
    return JaxBackend(device, precision)
