"""Backends by name: listed without importing anything, loaded one at a time.

A distribution offers a backend by an entry point of the group `rnnspec.backends`, whose name is the backend's; it names
a light module (or object) that implements the hook `rnnspec_backend` and imports its framework there, not before.

>>> "numpy" in backend_names()
True
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from rnnspec.backend import Backend
from rnnspec.errors import (
    ArgumentError,
    BackendConflict,
    BackendUnavailable,
    BrokenBackend,
    RnnSpecError,
    UnknownBackend,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "GROUP",
    "BackendHooks",
    "Mutant",
    "backend_names",
    "distribution",
    "get_backend",
    "hookimpl",
    "hookspec",
    "load",
    "unavailable",
]

GROUP = "rnnspec.backends"
RESERVED = {"numpy": "rnnspec", "torch": "rnnspec", "tensorflow": "rnnspec", "jax": "rnnspec"}
"""The names that only rnnspec's own distribution may offer."""

hookspec = pluggy.HookspecMarker("rnnspec")
hookimpl = pluggy.HookimplMarker("rnnspec")


@dataclass(frozen=True)
class Mutant:
    """A backend with one known fault: its name, what it says of itself, and `make(backend) -> faulty backend`."""

    name: str
    says: str
    make: Any


class BackendHooks:
    """What a plugin implements."""

    @hookspec(firstresult=True)
    def rnnspec_backend(self, name: str, device: str | None, precision: str) -> Backend | None:
        """The backend. Raises BackendUnavailable where its framework is not installed."""

    @hookspec
    def rnnspec_mutants(self) -> Iterable[Mutant]:  # type: ignore[empty-body]
        """Faulty versions of a backend, for the self-test of the conformance suite."""


def backend_names() -> tuple[str, ...]:
    """The names of all backends that installed distributions offer, sorted; nothing is imported."""
    return tuple(sorted({point.name for point in _entry_points()}))


def get_backend(name: str, *, device: str | None = None, precision: str = "f32") -> Backend:
    """The backend of that name, with its own arrays on `device`, in `precision` ("f64", "f32", "bf16", "f16").

    Raises ArgumentError, UnknownBackend, BackendUnavailable (with the pip command), BackendConflict, BrokenBackend
    (naming the distribution) or UnsupportedError; no other plugin is touched.
    """
    call = f"get_backend({name!r})"
    for what, given in (("name", name), ("device", "" if device is None else device), ("precision", precision)):
        if not isinstance(given, str):
            raise ArgumentError(call, f"{what} must be a string", type(given).__name__, "give its name")
    manager = load(name)
    try:
        backend = manager.hook.rnnspec_backend(name=name, device=device, precision=precision)
    except RnnSpecError:
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise BrokenBackend(call, f"the hook of {distribution(name)} must give a backend",
                            f"{type(error).__name__}: {error}", "report it to its authors") from error  # fmt: skip
    if not isinstance(backend, Backend) or backend.name != name:
        raise BrokenBackend(call, f"the hook of {distribution(name)} must give a Backend named {name!r}", repr(backend),
                            "report it to its authors")  # fmt: skip
    return backend


def load(name: str) -> pluggy.PluginManager:
    """A plugin manager that holds the one plugin of that name."""
    call = f"get_backend({name!r})"
    point = _entry_point(call, name)
    manager = pluggy.PluginManager("rnnspec")
    manager.add_hookspecs(BackendHooks)
    try:
        manager.register(point.load(), name)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise BrokenBackend(call, f"the plugin of {distribution(name)} must load", f"{type(error).__name__}: {error}",
                            "report it to its authors, or uninstall it") from error  # fmt: skip
    return manager


def distribution(name: str) -> str:
    """The distribution that offers a backend, with its version."""
    return _shown(_entry_point(f"distribution({name!r})", name))


def unavailable(name: str, error: ImportError) -> BackendUnavailable:
    """The error that a plugin raises where its framework cannot be imported."""
    return BackendUnavailable(f"get_backend({name!r})", "its framework must be installed", str(error),
                              f"pip install 'rnnspec[{name}]'")  # fmt: skip


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415  # a quarter of the time that `import rnnspec` takes

    return entry_points(group=GROUP)


def _entry_point(call: str, name: str) -> EntryPoint:
    points = list({(point.value, _shown(point)): point for point in _entry_points() if point.name == name}.values())
    owner = RESERVED.get(name)
    strangers = [point for point in points if owner and (point.dist is None or point.dist.name != owner)]
    if strangers:
        raise BackendConflict(call, f"the name is reserved for {owner}", _shown(strangers[0]),
                              "uninstall that distribution")  # fmt: skip
    if len(points) > 1:
        raise BackendConflict(call, "one distribution must offer the name", " and ".join(map(_shown, points)),
                              "uninstall all but one")  # fmt: skip
    if not points:
        raise UnknownBackend(call, "an installed distribution must offer the name", repr(name),
                             f"choose one of {', '.join(backend_names())}")  # fmt: skip
    return points[0]


def _shown(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else f"an unnamed distribution ({point.value})"
