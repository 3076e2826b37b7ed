"""The policies inside the recurrence that the suite tests with: both gradient hooks, below and above thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.policies import Recurrence, Truncated
from rnnspec.primitives import maximum, remainder, sqrt, total, where

__all__ = ["CutAndClip", "Halving"]


@dataclass(frozen=True)
class CutAndClip(Recurrence):
    """Cuts the edges into the steps k, 2k, ... and holds each row's cotangents within a norm."""

    steps: int
    limit: float

    def __repr__(self) -> str:
        return f"__import__({__name__!r}, fromlist=['CutAndClip']).CutAndClip({self.steps}, {self.limit})"

    def carry(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        return Truncated(self.steps).carry(step, cotangents)

    def total(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        return {state: self._clipped(cotangent) for state, cotangent in cotangents.items()}

    def _clipped(self, cotangent: Any) -> Any:
        return cotangent * (self.limit / maximum(sqrt(total(cotangent * cotangent)), self.limit))


@dataclass(frozen=True)
class Halving(Recurrence):
    """Halves the cotangents on the edges into the steps k - 1, 2k - 1, ...: it counts steps, and cuts no edge."""

    steps: int

    def __repr__(self) -> str:
        return f"__import__({__name__!r}, fromlist=['Halving']).Halving({self.steps})"

    def carry(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        chosen = remainder(step, self.steps) > self.steps - 1.5
        return {state: where(chosen, 0.5 * cotangent, cotangent) for state, cotangent in cotangents.items()}
