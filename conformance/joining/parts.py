"""The reports of parts: read, and refused where they are not of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from json import loads
from pathlib import Path
from typing import Any

from conformance.findings.report import SCHEMA
from conformance.joining.origin import Origin
from rnnspec.errors import ArgumentError

__all__ = ["PartReport", "absent", "check", "read"]

CALL = "join"


@dataclass(frozen=True)
class PartReport:
    """One report, where it came from, and the file that it is in."""

    file: Path
    document: dict[str, Any]
    origin: Origin


def read(files: Sequence[Path]) -> list[PartReport]:
    """The reports of some files, in the order of the parts. Raises ArgumentError where they do not belong together."""
    found = sorted((_read(file) for file in files), key=lambda part: part.origin.number)
    check(found)
    return found


def _read(file: Path) -> PartReport:
    try:
        document = loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(document["schema"])
        return PartReport(file, document, Origin(**document["part"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArgumentError(CALL, "every file must be the report of a part, which --json wrote",
                            f"{file} ({type(error).__name__})",
                            "run `python -m conformance --part 1/2 --json FILE`") from error  # fmt: skip


def check(parts: Sequence[PartReport]) -> None:
    """Raise ArgumentError where two reports are of different runs, or of one part."""
    first = parts[0]
    for part in parts[1:]:
        _one_run(first, part)
    for one, other in pairwise(parts):
        if one.origin.number == other.origin.number:
            raise ArgumentError(CALL, "every part must be given once",
                                f"part {one.origin.number} in {one.file} and in {other.file}",
                                "leave one of them out")  # fmt: skip
    _one_whole(parts)


def absent(parts: Sequence[PartReport]) -> list[int]:
    """The numbers of the parts that are not among these."""
    given = {part.origin.number for part in parts}
    return [number for number in range(1, 1 + parts[0].origin.of) if number not in given]


def _one_run(first: PartReport, part: PartReport) -> None:
    here, there = first.origin.whole, part.origin.whole
    for name in here:
        if here[name] != there.get(name):
            got = f"{_said(name, here[name])} in {first.file} and {_said(name, there.get(name))} in {part.file}"
            raise ArgumentError(CALL, "all parts must be of one run", got,
                                "run every part with the same project and the same options")  # fmt: skip


def _one_whole(parts: Sequence[PartReport]) -> None:
    """What is shared out depends on what a backend declares, which may differ from machine to machine."""
    seen: dict[tuple[str, str], tuple[str, Path]] = {}
    for part in parts:
        for entry in part.document["backends"]:
            if entry.get("whole"):
                key = entry["name"], entry["precision"]
                whole, file = seen.setdefault(key, (entry["whole"], part.file))
                if whole != entry["whole"]:
                    raise ArgumentError(CALL, "a backend must declare the same on the machines of all parts",
                                        f"other networks of {' '.join(key)} in {file} than in {part.file}",
                                        "run its parts on machines of one kind")  # fmt: skip


def _said(name: str, value: Any) -> str:
    text = str(value)
    return f"{name} {text if len(text) <= 60 else f'{text[:57]}...'}"
