"""A value as an error message can show it: short, and without failing itself.

>>> shown([1, 2]), len(shown(list(range(10_000))))
('[1, 2]', 300)
"""

from __future__ import annotations

__all__ = ["shown"]

LONGEST = 300
"""Characters of a value."""


def shown(value: object) -> str:
    """The `repr` of a value, cut; its type alone where it has none, as what is nested too deeply to be written."""
    try:
        text = repr(value)
    except Exception:  # whatever a stranger's __repr__ raises, the error to tell is another
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
