"""The table of faults in kernels, with the laws that detect them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import table

__all__ = ["tables"]


def tables(data: Any) -> Iterator[str]:
    """Every fault by operator; before it how many there are, and whether the right operators conform."""
    faults, right = data["faults"], data["right"]
    detected = sum(bool(row["told_by"]) for row in faults)
    clean = sum(not row["broken"] for row in right)
    yield f"{detected} of {len(faults)} faults are detected; {clean} of {len(right)} right operators conform."
    yield ""
    yield from table(("operator", "fault", "detected by"),
                     ((row["operator"], row["says"], ", ".join(row["told_by"]) or "nothing") for row in faults))
