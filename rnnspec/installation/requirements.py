"""The requirements in a distribution's metadata, and the versions that are installed; nothing is imported.

>>> Requirement("torch", ">=2.6", "torch").fits("2.13.0+cpu"), Requirement("torch", ">=2.6", "torch").fits("2.5.1")
(True, False)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Requirement", "installed", "requirements"]

LINE = re.compile(r"(?P<name>[\w.-]+)(\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*(;\s*(?P<marker>.*))?$")
EXTRA = re.compile(r"extra\s*==\s*[\"'](?P<extra>[^\"']+)[\"']$")
BOUND = re.compile(r"\s*(?P<sign>>=|<=|>|<)\s*(?P<number>\d+(\.\d+)*)\s*$")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Requirement:
    """A distribution that another one needs, within bounds such as `>=2.6,<3`; for one of its extras only, or always.

    Bounds of other kinds than these are not checked, and count as met.
    """

    name: str
    bounds: str = ""
    extra: str = ""

    def fits(self, version: str) -> bool:
        """Whether a version is within the bounds, by its numbers alone."""
        found = filter(None, map(BOUND.match, self.bounds.split(",")))
        return all(SIGNS[bound["sign"]](_numbers(version), _numbers(bound["number"])) for bound in found)

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"


def requirements(distribution: Distribution) -> Iterator[Requirement]:
    """The requirements of a distribution, without those of some systems only and without extras of extras."""
    for line in distribution.requires or ():
        found = LINE.match(line)
        extra = EXTRA.match((found and found["marker"]) or "")
        conditional = found is None or (found["marker"] and not extra)
        if found and not conditional and found["name"] != distribution.metadata["Name"]:
            yield Requirement(found["name"], found["bounds"].strip(), extra["extra"] if extra else "")


def installed(name: str) -> str | None:
    """The version of a distribution here, or None."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # as in `rnnspec.discovery`

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a release, without zeros at its end."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
