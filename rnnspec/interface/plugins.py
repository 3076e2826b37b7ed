"""Backends by name: listed without importing anything, loaded one at a time.

A distribution offers a backend by an entry point of the group `rnnspec.backends`, whose name is the backend's; it names
a light module (or object) that implements the hook `rnnspec_backend` and imports its framework there, not before.

>>> "numpy" in backend_names()
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from rnnspec.contract.version import fitting
from rnnspec.errors import (
    ArgumentError,
    BackendConflict,
    BackendError,
    BackendUnavailable,
    BrokenBackend,
    RnnSpecError,
    UnknownBackend,
)
from rnnspec.interface.backend import Backend
from rnnspec.interface.discovery import GROUP, offerer, points, uninstalling, unreadable
from rnnspec.showing import choice, shown

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
    "mending",
    "problems",
    "unavailable",
]

RESERVED = {"numpy": "rnnspec", "torch": "rnnspec", "tensorflow": "rnnspec", "jax": "rnnspec"}
"""The names that only rnnspec's own distribution may offer; what others offer under them never runs."""

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
    return tuple(sorted({point.name for point in points()}))


def problems() -> tuple[BackendError, ...]:
    """What is wrong with what is offered, as the errors that name the distributions; nothing is imported.

    A name that is reserved gives the built-in backend nevertheless; one that two distributions offer gives none, and
    what a distribution offers that cannot be read is not known.
    """
    conflicts = (found for name in backend_names() for found in _conflicts(f"get_backend({shown(name)})", name))
    return (*unreadable(), *conflicts)


def get_backend(name: str, *, device: str | None = None, precision: str = "f32") -> Backend:
    """The backend of that name, with its own arrays on `device`, in `precision` ("f64", "f32", "bf16", "f16").

    Raises ArgumentError, UnknownBackend, BackendUnavailable (with the pip command), BackendConflict, BrokenBackend,
    IncompatibleBackend (naming the distribution) or UnsupportedError; no other plugin is touched.
    """
    call = f"get_backend({shown(name)})"
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
                            f"{type(error).__name__}: {error}", mending(name)) from error  # fmt: skip
    if not isinstance(backend, Backend) or backend.name != name:
        raise BrokenBackend(call, f"the hook of {distribution(name)} must give a Backend named {name!r}",
                            shown(backend), mending(name))  # fmt: skip
    fitting(call, distribution(name), backend.spec_version)
    return backend


def load(name: str) -> pluggy.PluginManager:
    """A plugin manager that holds the one plugin of that name."""
    call = f"get_backend({shown(name)})"
    point = _entry_point(call, name)
    manager = pluggy.PluginManager("rnnspec")
    manager.add_hookspecs(BackendHooks)
    try:
        manager.register(point.load(), name)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise BrokenBackend(call, f"the plugin of {distribution(name)} must load", f"{type(error).__name__}: {error}",
                            mending(name)) from error  # fmt: skip
    return manager


def distribution(name: str) -> str:
    """The distribution that offers a backend, with its version."""
    return offerer(_entry_point(f"distribution({shown(name)})", name))


def mending(name: str) -> str:
    """What to do about a backend whose code fails, with the command."""
    point = _entry_point(f"mending({shown(name)})", name)
    if point.dist is None or RESERVED.get(name) != offerer(point).partition(" ")[0]:
        return f"report it to its authors, or uninstall it{uninstalling(point)}"
    extra = f"[{name}]" if name in (point.dist.metadata.get_all("Provides-Extra") or ()) else ""
    return f"install it again: pip install --force-reinstall '{RESERVED[name]}{extra}'"


def unavailable(name: str, error: ImportError) -> BackendUnavailable:
    """The error that a plugin raises where its framework cannot be imported."""
    return BackendUnavailable(f"get_backend({shown(name)})", "its framework must be installed", str(error),
                              f"pip install 'rnnspec[{name}]'")  # fmt: skip


def _entry_point(call: str, name: str) -> EntryPoint:
    own, _ = _offers(name)
    if len(own) == 1:
        return own[0]
    for conflict in _conflicts(call, name):
        raise conflict
    closed = "".join(f", or mend what offers it: {problem.must}, got {problem.got}" for problem in unreadable())
    raise UnknownBackend(call, "an installed distribution must offer the name", shown(name),
                         f"{choice(name, backend_names())}{closed}")  # fmt: skip


def _offers(name: str) -> tuple[list[EntryPoint], list[EntryPoint]]:
    """Who offers a name, and who offers it though it is reserved for another."""
    offers = {(point.value, offerer(point)): point for point in points() if point.name == name}
    owner = RESERVED.get(name)
    strangers = [point for (_, whose), point in offers.items() if owner and whose.partition(" ")[0] != owner]
    return [point for point in offers.values() if point not in strangers], strangers


def _conflicts(call: str, name: str) -> Iterator[BackendConflict]:
    own, strangers = _offers(name)
    for point in strangers:
        yield BackendConflict(call, f"the name is reserved for the backend of {RESERVED[name]}, and nobody else's runs",
                              offerer(point),
                              f"uninstall that distribution, or rename its backend{uninstalling(point)}")  # fmt: skip
    if len(own) > 1:
        yield BackendConflict(call, "one distribution must offer the name", " and ".join(map(offerer, own)),
                              f"uninstall all but one{uninstalling(*sorted(own, key=offerer)[1:])}")  # fmt: skip
