"""How much the suite tested: the examples of each property, and the networks that it left out.

>>> entry = {"properties": [{"examples": 114, "status": "pass"}, {"examples": 2, "status": "fail", "left_out": 3}]}
>>> of_each(entry), left_out(entry)
('2 to 114', 3)
"""

from __future__ import annotations

from typing import Any

__all__ = ["left_out", "not_asked", "of_each"]

NONE = ("unsupported", "not_asked")
"""The statuses of a property that had no example."""


def of_each(entry: dict[str, Any]) -> str:
    """The fewest and the most examples of a property that ran; the empty text where none ran."""
    counts = [finding["examples"] for finding in entry["properties"] if finding["status"] not in NONE]
    return f"{min(counts)} to {max(counts)}" if counts else ""


def left_out(entry: dict[str, Any]) -> int:
    """How many networks, of all properties, need what the backend does not declare."""
    return sum(finding.get("left_out", 0) for finding in entry["properties"])


def not_asked(entry: dict[str, Any]) -> int:
    """How many properties were not asked, or not on all of their networks, since the time was over."""
    return sum("not_asked" in (p["status"], *p.get("labels", {}).values()) for p in entry["properties"])
