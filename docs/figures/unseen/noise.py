"""Noise whose masks are drawn for another call than the one at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from conformance.mutants.faulty import Faulty
from rnnspec import Gradients, Key, Result


class SeedsInPairs(Faulty):
    """Two seeds that follow one another draw the same masks."""

    kind: ClassVar[str] = "noise"

    def run(self, *given: Any, **named: Any) -> Result:
        return super().run(*given, **_with(named, lambda key: replace(key, seed=key.seed // 2 * 2)))

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **_with(named, lambda key: replace(key, seed=key.seed // 2 * 2)))


class FirstKeyForEver(Faulty):
    """The first key of a process draws the masks of all its calls."""

    kind: ClassVar[str] = "noise"

    def kept(self, key: Key) -> Key:
        """The key of the first call."""
        return vars(self).setdefault("first_key", key)

    def run(self, *given: Any, **named: Any) -> Result:
        return super().run(*given, **_with(named, self.kept))

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **_with(named, self.kept))


class PullbackAStepLate(Faulty):
    """The pullback has at each step the masks of the step after it."""

    kind: ClassVar[str] = "noise"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **_with(named, lambda key: key.at(step=key.step + 1)))


class PullbackOfTheNextRow(Faulty):
    """The pullback has for each row the masks of the row after it."""

    kind: ClassVar[str] = "noise"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **_with(named, lambda key: key.at(row=key.row + 1)))


def _with(named: dict[str, Any], change: Any) -> dict[str, Any]:
    """The arguments of a call with another key, where it has one."""
    key = named.get("key")
    return named if key is None else {**named, "key": change(key)}
