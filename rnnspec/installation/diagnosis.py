"""What is wrong with this installation, and what is merely not installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from rnnspec.installation.fault import Fault
from rnnspec.installation.opening import Opening
from rnnspec.installation.requirements import installed, requirements
from rnnspec.interface.discovery import points
from rnnspec.interface.plugins import RESERVED, problems

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Absent", "Diagnosis", "diagnosis"]

OWN = "rnnspec"


@dataclass(frozen=True)
class Absent:
    """An extra of rnnspec that is not installed, and the command that installs it."""

    name: str
    command: str


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong here, and what could be added; `healthy` are the backends that open."""

    faults: list[Fault]
    absent: list[Absent]
    healthy: list[str]


def diagnosis(openings: Iterable[Opening]) -> Diagnosis:
    """The state of this installation, where these backends were opened."""
    absent = list(dict.fromkeys(_absent()))
    openings = list(openings)
    away = {extra.name for extra in absent}
    of_backends = (_of_backend(found) for found in openings if found.name not in away)
    faults = [*_own(), *map(Fault.of, problems()), *_unmet(), *filter(None, of_backends)]
    return Diagnosis(list(dict.fromkeys(faults)), absent, [found.name for found in openings if not found.fault])


def _distributions() -> list[Distribution]:
    """Those that offer backends and can be read, each once."""
    return list({id(point.dist): point.dist for point in points() if point.dist and _is_readable(point.dist)}.values())


def _is_readable(distribution: Distribution) -> bool:
    try:
        return bool(distribution.metadata["Name"])
    except Exception:  # metadata that others wrote may raise anything
        return False


def _own() -> Iterator[Fault]:
    """rnnspec is used from its sources, and so no backend of its own can be found."""
    offered = {point.name for point in points() if point.dist and point.dist.name == OWN}
    if not offered >= set(RESERVED):
        command = f"pip install {OWN}"
        yield Fault("UnknownBackend", "backend_names()", f"{OWN} must be installed, with the backends "
                    f"{', '.join(RESERVED)}, got {', '.join(sorted(offered)) or 'none of them'}",
                    f"install it: {command}", command)  # fmt: skip


def _unmet() -> Iterator[Fault]:
    """A fault for each requirement that is missing or outside its bounds; those of extras may be missing."""
    for distribution in _distributions():
        for needed in requirements(distribution):
            version = installed(needed.name)
            if (version is None and not needed.extra) or (version is not None and not needed.fits(version)):
                command = f"pip install -U '{needed}'"
                yield Fault("BrokenBackend", f"{distribution.name} {distribution.version}", f"{needed} must be "
                            f"installed, got {version or 'none'}", f"install it: {command}", command)  # fmt: skip


def _absent() -> Iterator[Absent]:
    """The smallest extra for each requirement that is not here."""
    extras: dict[str, list[str]] = {}
    for distribution in _distributions():
        for needed in requirements(distribution) if distribution.name == OWN else ():
            if needed.extra:
                extras.setdefault(needed.extra, []).append(needed.name)
    for name in dict.fromkeys(chain.from_iterable(extras.values())):
        if installed(name) is None:
            holding = (extra for extra, names in extras.items() if name in names)
            smallest = min(holding, key=lambda extra: len(extras[extra]))
            yield Absent(smallest, f"pip install '{OWN}[{smallest}]'")


def _of_backend(opening: Opening) -> Fault | None:
    """A framework that is installed, as its metadata say, and yet cannot be imported, is to be installed again."""
    fault = opening.fault
    if fault is None or fault.kind != "BackendUnavailable":
        return fault
    command = fault.command.replace("pip install", "pip install --force-reinstall", 1)
    return replace(fault, do=command or fault.do, command=command)
