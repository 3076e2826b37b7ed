"""The entry points of backends, read without importing anything.

The standard library reads the entry points of all distributions at once, and one bad file makes it fail. They are then
read one by one, and the unreadable distributions are named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rnnspec.errors import BrokenBackend
from rnnspec.showing import shown

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["GROUP", "offerer", "points", "uninstalling", "unreadable"]

GROUP = "rnnspec.backends"


def points() -> tuple[EntryPoint, ...]:
    """The entry points of the group."""
    from importlib.metadata import entry_points  # noqa: PLC0415  # a quarter of the time that `import rnnspec` takes

    try:
        return tuple(entry_points(group=GROUP))
    except Exception:  # a bad file may raise anything
        return _one_by_one()[0]


def unreadable() -> tuple[BrokenBackend, ...]:
    """An error for each distribution whose entry points cannot be read."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    try:
        entry_points(group=GROUP)
    except Exception:
        return _one_by_one()[1]
    return ()


def offerer(point: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    found = _identity(point.dist)
    return " ".join(found) if found else f"an unnamed distribution ({point.value})"


def uninstalling(*offers: EntryPoint) -> str:
    """The command that uninstalls the distributions that entry points are of, as the end of what to do."""
    return _uninstalling(*(_identity(point.dist) for point in offers))


def _uninstalling(*identities: tuple[str, str] | None) -> str:
    names = " ".join(identity[0] for identity in identities if identity)
    return f": pip uninstall {names}" if names else ""


def _one_by_one() -> tuple[tuple[EntryPoint, ...], tuple[BrokenBackend, ...]]:
    """The entry points and errors; as in `entry_points`, the first distribution of a name hides the others."""
    from importlib.metadata import distributions  # noqa: PLC0415

    found: list[EntryPoint] = []
    broken: list[BrokenBackend] = []
    seen: set[str] = set()
    for distribution in distributions():
        identity = _identity(distribution)
        name = re.sub(r"[-_.]+", "-", identity[0]).lower() if identity else str(id(distribution))
        if name in seen:
            continue
        seen.add(name)
        try:
            found += distribution.entry_points.select(group=GROUP)
        except Exception as error:
            place = " ".join(identity or ("an unnamed distribution in", str(distribution.locate_file(""))))
            broken.append(BrokenBackend("backend_names()", f"the entry points of {place} must be readable",
                                        f"{type(error).__name__}: {shown(str(error))}",
                                        "install that distribution again, or uninstall it"
                                        f"{_uninstalling(identity)}"))  # fmt: skip
    return tuple(found), tuple(broken)


def _identity(distribution: Distribution | None) -> tuple[str, str] | None:
    """A distribution's name and version; None where its metadata do not have them or cannot be read."""
    try:
        name, version = (distribution.metadata[key] for key in ("Name", "Version")) if distribution else ("", "")
    except Exception:
        return None
    return (name, version or "") if name else None
