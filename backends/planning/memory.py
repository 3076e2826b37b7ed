"""What the C library does with memory that is freed: keeps it for the next call, or gives it back to the system.

glibc gives back whatever is free at the end of its heap, down to a threshold of 128 KiB at first, and every page of
it costs a fault when it is asked for again: a third of the time of a training step of a small layer. The threshold
is twice the largest block that was ever mapped by itself and freed, up to 32 MiB. So one such block, of which no page
is touched, is asked for and freed: what any program does that once handles a large array. Other C libraries do nothing.
"""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed"]

LARGEST = (32 << 20) - (64 << 10)
"""Bytes: blocks of 32 MiB and more are always mapped by themselves, and raise nothing."""


def keep_freed() -> None:
    """Have the C library keep what is freed, up to 64 MiB, for the next call."""
    np.empty(LARGEST, np.uint8)
