"""The report: one JSON document, from which every other form is made; and whether it says that all conform."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.findings.diagnosis import diagnosed
from conformance.findings.entry import Entry, missing
from conformance.findings.finding import BAD

__all__ = ["SCHEMA", "conforms", "failures", "report", "write"]

SCHEMA = "rnnspec-conformance/1"


def report(
    entries: Sequence[Entry], seed: int, tier: str, seconds: float, self_test: dict[str, Any] | None = None,
    **parts: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The document, as plain dicts and lists; `part` or `parts` say which part of a run it is of, or which it joins."""
    found: dict[str, Any] = {"schema": SCHEMA, "seed": seed, "tier": tier, "seconds": seconds, **parts}
    found["backends"] = [diagnosed(entry.as_dict()) for entry in entries]
    return found | ({"self_test": self_test} if self_test is not None else {})


def conforms(document: dict[str, Any], named: Sequence[str] = (), require_speed: bool = False) -> bool:
    """Whether nothing fails: no property, no process, no survivor, and no property or part is missing that should have
    run.

    A backend that is unavailable matters only if it was `named`, or if no other ran. Slower than a peer fails where
    the backend declares a budget that does not allow it, or with `require_speed`; inconclusive never does.
    """
    entries = document["backends"]
    judged = [e for e in entries if e["status"] != "unavailable" or e["name"] in named]
    slow = [row for e in entries for row in e["speed"] if row["verdict"] == "slower"]
    survivors = document.get("self_test", {}).get("survivors", [])
    return not (
        any(e["status"] != "conforms" for e in judged)
        or any(missing(e["counts"]) for e in judged)
        or (entries and not judged)
        or (require_speed and slow)
        or survivors
        or document.get("parts", {}).get("missing")
    )


def failures(document: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """For each backend, the laws that failed in any precision, by id, each with the labels on which it failed."""
    found: dict[str, dict[str, list[str]]] = {}
    for entry in document["backends"]:
        for finding in entry["properties"]:
            if finding["status"] in BAD:
                labels = found.setdefault(entry["name"], {}).setdefault(finding["id"], [])
                labels += [at for at, status in finding["labels"].items() if status in BAD and at not in labels]
    return found


def write(text: str, file: Path) -> None:
    """Write a form of the document whole or not at all."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
