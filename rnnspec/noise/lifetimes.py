"""How long a mask of dropout holds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIFETIMES", "Lifetime", "PerSequence", "PerStep"]


class Lifetime:
    """How long a mask holds."""


@dataclass(frozen=True)
class PerStep(Lifetime):
    """Each step of each row has a mask of its own."""


@dataclass(frozen=True)
class PerSequence(Lifetime):
    """Each row has one mask for all steps, also across resets and windows: it depends on the key's seed and the row."""


LIFETIMES = (PerStep, PerSequence)
