"""Freed memory: make the C library keep it for the next call, rather than return it to the system.

glibc returns the free memory at the end of its heap above a threshold of 128 KiB, and each page costs a fault when it
is allocated again: a third of the time of a training step of a small layer. The threshold is twice the largest block
that was ever mapped by itself and freed, up to 32 MiB. So this module allocates and frees one such block, without
touching its pages, as does any program that once handles a large array. In other C libraries this has no effect.
"""

from __future__ import annotations

import numpy as np

__all__ = ["CACHED", "keep_freed"]

CACHED = 1 << 17
"""The numbers of an array of which a few stay in the cache between eager calls: half a megabyte in float32."""

LARGEST = (32 << 20) - (64 << 10)
"""The bytes of the block; glibc ignores blocks of 32 MiB and more for the threshold."""


def keep_freed() -> None:
    """Make the C library keep up to 64 MiB of freed memory."""
    np.empty(LARGEST, np.uint8)
