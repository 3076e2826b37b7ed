"""What a report says of the parts of its run: which it is of, which are missing, and which machines tested them.

>>> said({"part": {"number": 3, "of": 16}}), said({"parts": {"of": 4, "missing": [2, 3]}}), said({})
('part 3 of 16', '2 of 4 parts, without 2, 3', '')
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["machines", "said"]


def said(document: Mapping[str, Any]) -> str:
    """The part, or how many parts are joined and which are missing; empty where a run was not split."""
    if "part" in document:
        return f"part {document['part']['number']} of {document['part']['of']}"
    if "parts" not in document:
        return ""
    of, missing = document["parts"]["of"], document["parts"]["missing"]
    without = f", without {_listed(missing)}" if missing else ""
    return f"{of - len(missing)} of {of} parts{without}"


def machines(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The kinds of machines, each with its parts, its hardware, and the versions of what it tested."""
    given = document["parts"]["given"] if "parts" in document else []
    found: dict[tuple[str, str], list[int]] = {}
    for part in given:
        found.setdefault((_hardware(part["machine"]), _software(part["machine"])), []).append(part["number"])
    seconds = {part["number"]: part["seconds"] for part in given}
    return [{"parts": _listed(numbers), "hardware": hardware, "software": software,
             "seconds": f"{sum(seconds[n] for n in numbers):.0f}"}
            for (hardware, software), numbers in found.items()]  # fmt: skip


def _hardware(machine: Mapping[str, Any]) -> str:
    more = "".join(f", {model}" for model in machine["accelerators"])
    return f"{machine['processor']}, {machine['cores']} cores{more}"


def _software(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return f"{machine['system']}, Python {machine['python']}, {packages}"


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
