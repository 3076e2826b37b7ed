"""What a report says of the kinds of faults that it looks like, and of the pages of laws.

>>> alike({"kind": "digits", "says": "digits are lost", "sure": "likely", "probability": 0.8,
...        "fault": "numbers: fast tanh", "example": "The hyperbolic tangent is good to three digits."})
'likely (80 %): digits are lost, as in numbers: fast tanh (The hyperbolic tangent is good to three digits.)'
>>> page("P01")
'docs/laws/P01.md'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["alike", "page"]


def page(law: str) -> str:
    """The page of a law, which says what a failure means and what to look at first; a path in the project."""
    return f"docs/laws/{law}.md"


def alike(found: Mapping[str, Any]) -> str:
    """How sure, which kind of faults, and the most similar known one."""
    if not found["kind"]:
        return str(found["says"])
    example = f", as in {found['fault']} ({found['example']})" if found["fault"] else ""
    return f"{found['sure']} ({100 * found['probability']:.0f} %): {found['says']}{example}"
