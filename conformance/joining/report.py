"""The joined report: what the report of the whole run says, and which part was tested where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.findings.report import conforms, report
from conformance.joining.entries import entries
from conformance.joining.parts import PartReport, absent

__all__ = ["joined", "succeeds"]


def joined(parts: Sequence[PartReport]) -> dict[str, Any]:
    """The document. Its times are sums over the parts: what the run cost, and not how long anybody waited."""
    first = parts[0].document
    seconds = sum(part.document["seconds"] for part in parts)
    told = {"of": parts[0].origin.of, "missing": absent(parts), "project": parts[0].origin.project,
            "given": list(map(_told, parts))}  # fmt: skip
    return report(entries(parts), first["seed"], first["tier"], seconds, parts=told)


def succeeds(parts: Sequence[PartReport], document: dict[str, Any]) -> bool:
    """Whether the joined run conforms, by the options that its parts were given."""
    asked = parts[0].origin.asked
    return conforms(document, asked["named"], asked["require_speed"])


def _told(part: PartReport) -> dict[str, Any]:
    versions = {entry["name"]: entry["version"] for entry in part.document["backends"]}
    devices = {entry["name"]: entry["device"] for entry in part.document["backends"]}
    return {"number": part.origin.number, "seconds": part.document["seconds"], "versions": versions,
            "devices": devices, "machine": part.origin.machine}  # fmt: skip
