"""The verdict of one row of the speed table: whether it fails a run, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["beyond", "spoken"]


def beyond(row: Mapping[str, Any]) -> bool:
    """Whether the backend takes more time than it declares."""
    return bool(row.get("budget_verdict") == "slower")


def spoken(row: Mapping[str, Any]) -> str:
    """The verdict in words."""
    if not row["peer"]:
        return "no peer"
    tries = f" after {row['tries']} tries" if row["verdict"] == "inconclusive" and "tries" in row else ""
    if row.get("budget") is None:
        return f"{row['verdict']}{tries}"
    stands = {"slower": "beyond", "inconclusive": "not clearly within"}.get(row["budget_verdict"], "within")
    return f"{row['verdict']}{tries}, {stands} the declared {row['budget']:.2f}"
