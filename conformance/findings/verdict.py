"""The verdict of one row of the speed table: whether it fails a run, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["beyond", "chosen", "spoken"]


def beyond(row: Mapping[str, Any]) -> bool:
    """Whether the backend takes more time than it declares."""
    return bool(row.get("budget_verdict") == "slower")


def spoken(row: Mapping[str, Any]) -> str:
    """The verdict in words."""
    if not row["peer"]:
        return "no peer"
    tries = f" after {row['tries']} tries" if row["verdict"] == "inconclusive" and "tries" in row else ""
    if tries and row.get("given_up"):
        tries = f": {row['given_up']}, needs at least {row['more_rounds']} more rounds"
    if row.get("budget") is None:
        return f"{row['verdict']}{tries}"
    stands = {"slower": "beyond", "inconclusive": "not clearly within"}.get(row["budget_verdict"], "within")
    return f"{row['verdict']}{tries}, {stands} the declared {row['budget']:.2f}"


def chosen(row: Mapping[str, Any]) -> str:
    """One choice in words: what is taken, its time over that of another option, and whether that agrees."""
    stands = f"disagrees by {row['ratio'] - 1:.0%}" if row["verdict"] == "slower" else "agrees"
    if row["verdict"] == "inconclusive" and row["ratio"] > 1:
        stands = f"inconclusive after {row['tries']} tries"
    return f"{row['name']}: {row['taken']} is taken, {row['ratio']:.2f} of the time of {row['other']}, {stands}"
