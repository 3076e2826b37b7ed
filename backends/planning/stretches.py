"""Long layers, a stretch of steps at a time, by a program that has room for one stretch.

A call of a program is bound to its memory, step by step, which takes longer than to run it once. So a program serves a
stretch; what the pullback of a stretch reads is set aside, and put back when it is pulled back.
"""

from __future__ import annotations

from rnnspec.running.recomputation import Recomputing

__all__ = ["STRETCH", "Stretches"]

STRETCH = 2048
"""Steps of a stretch: whole blocks of whatever products over time are taken in."""


class Stretches(Recomputing):
    """Segments of a kernel whose results are kept, and not run again."""

    keeps = True
