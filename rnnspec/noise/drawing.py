"""Masks from a counter-based generator: the same bits for every backend, and for any split of rows and steps.

Philox gives 256 bits for each counter and key (Salmon et al., 2011). The key is made of the seed and the mask's place
in the network. The counter holds the row and, for each step, as many blocks as the features need; a feature is kept
where its 32 bits, as a whole number, are at least rate * 2^32.

>>> kept(Key(0), "layers.0", 0.5, rows=1, steps=1, features=4)
array([[[ True,  True, False, False]]])
>>> whole, late = (kept(Key(3, step=t), "layers.0", 0.5, 2, n, 9) for t, n in ((0, 5), (2, 3)))
>>> bool((whole[2:] == late).all())
True
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from rnnspec.noise.key import Key

__all__ = ["kept", "kept_entries", "threshold"]

WORDS, LANES = 4, 8
"""The 64-bit words of a block, and the features that it decides."""
ROW = 1 << 128
"""The counters of a row: steps stay far below."""


def threshold(rate: float) -> int:
    """The whole number that 32 bits must reach to keep a feature."""
    return min(round(rate * 2**32), 2**32 - 1)


def kept(key: Key, place: str, rate: float, rows: int, steps: int, features: int) -> npt.NDArray[np.bool_]:
    """The mask (time, batch, feature) of a place, true where a feature is kept."""
    blocks = -(-features // LANES)
    generator = np.random.Philox(key=_keyed(key.seed, place), counter=key.row * ROW + key.step * blocks)
    words = np.empty((rows, steps * blocks * WORDS), np.dtype("<u8"))
    for row in words:
        row[:] = generator.random_raw(len(row))
        generator.advance(ROW - steps * blocks)
    lanes = words.view(np.dtype("<u4")).reshape(rows, steps, blocks * LANES)[:, :, :features]
    return np.ascontiguousarray((lanes >= np.uint32(threshold(rate))).swapaxes(0, 1))


def kept_entries(key: Key, place: str, rate: float, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The mask of a map, which is the same for all rows and steps of a seed."""
    return kept(Key(key.seed), place, rate, 1, 1, int(np.prod(shape))).reshape(shape)


def _keyed(seed: int, place: str) -> int:
    """A key of 128 bits, so that no two places of a network share their masks."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{place}".encode(), digest_size=16).digest(), "little")
