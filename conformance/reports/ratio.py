"""How a ratio of an error to its yardstick is written.

>>> written(1.23456), written(sys.float_info.max)
('1.23', 'infinite')
"""

from __future__ import annotations

import sys

__all__ = ["written"]


def written(ratio: float) -> str:
    """Three digits; what was infinite or NaN stands in a report as the largest finite number."""
    return "infinite" if ratio >= sys.float_info.max else f"{ratio:.3g}"
