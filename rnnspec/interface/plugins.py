"""Backends by name: listed without importing anything, loaded one at a time.

A distribution offers a backend with an entry point in the group `rnnspec.backends`, under the backend's name. The entry
point names a module or object with the hook `rnnspec_backend`, which imports the framework only when it is called.

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
"""The names that only rnnspec's own distribution may offer; other distributions' backends of these names never run."""

hookspec = pluggy.HookspecMarker("rnnspec")
hookimpl = pluggy.HookimplMarker("rnnspec")


@dataclass(frozen=True)
class Mutant:
    """A backend with one planted fault: its name, a description, and `make(backend) -> faulty backend`."""

    name: str
    says: str
    make: Any


class BackendHooks:
    """The hooks that a plugin implements."""

    @hookspec(firstresult=True)
    def rnnspec_backend(self, name: str, device: str | None, precision: str) -> Backend | None:
        """Return the backend; raise BackendUnavailable where its framework is not installed."""

    @hookspec
    def rnnspec_mutants(self) -> Iterable[Mutant]:  # type: ignore[empty-body]
        """Return faulty versions of a backend, for the self-test of the conformance suite."""


def backend_names() -> tuple[str, ...]:
    """The sorted names of all backends that installed distributions offer; imports nothing."""
    return tuple(sorted({point.name for point in points()}))


def problems() -> tuple[BackendError, ...]:
    """The errors of installed distributions that offer backends, each with the distribution's name; imports nothing.

    A reserved name still gives the built-in backend. A name that two distributions offer gives none. The backends of a
    distribution that cannot be read are not known.
    """
    conflicts = (found for name in backend_names() for found in _conflicts(f"get_backend({shown(name)})", name))
    return (*unreadable(), *conflicts)


def get_backend(name: str, *, device: str | None = None, precision: str = "f32") -> Backend:
    """The backend of that name on `device`, such as "cpu", in `precision`, such as "f64", "f32", "bf16" or "f16".

    Raises UnknownBackend where no distribution offers it, BackendUnavailable (with the pip command) where its framework
    is not installed, BackendConflict where two distributions offer it, IncompatibleBackend or BrokenBackend where its
    plugin does not fit or fails, UnsupportedError where it lacks the device or precision, and ArgumentError where an
    argument is no string. It loads no other plugin.
    """
    call = f"get_backend({shown(name)})"
    for what, given in (("name", name), ("device", "" if device is None else device), ("precision", precision)):
        if not isinstance(given, str):
            raise ArgumentError(call, f"{what} must be a string", type(given).__name__, "give a name")
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
    """A plugin manager with the one plugin of that name."""
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
    """The error for a plugin to raise where its framework cannot be imported."""
    return BackendUnavailable(f"get_backend({shown(name)})", "its framework must be installed", str(error),
                              f"pip install 'rnnspec[{name}]'")  # fmt: skip


def _entry_point(call: str, name: str) -> EntryPoint:
    own, _ = _offers(name)
    if len(own) == 1:
        return own[0]
    for conflict in _conflicts(call, name):
        raise conflict
    closed = "".join(f", or repair its distribution: {problem.must}, got {problem.got}" for problem in unreadable())
    raise UnknownBackend(call, "an installed distribution must offer the name", shown(name),
                         f"{choice(name, backend_names())}{closed}")  # fmt: skip


def _offers(name: str) -> tuple[list[EntryPoint], list[EntryPoint]]:
    """The entry points of a name, and those that another distribution has reserved."""
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
