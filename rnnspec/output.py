"""What is made of the layers' outputs: which steps are read, and the output layer.

>>> Dense(10)
Dense(features=10)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnspec.initialisers import Initialiser

__all__ = ["Dense", "Last", "Read", "Steps"]


class Read:
    """Which steps of the layers' outputs are read."""


@dataclass(frozen=True)
class Steps(Read):
    """Every step: outputs are `(time, batch, features)`, zeros after a row's end."""


@dataclass(frozen=True)
class Last(Read):
    """Each direction's last processed step, `(batch, features)`: for the reverse half that is time 0.

    A row of length 0 reads zeros, and is left out of the loss and its count.
    """


@dataclass(frozen=True)
class Dense:
    """The output layer, o_t = W h_t + b: logits, never probabilities. Elman (1990), section 2.

    Parameters are `output.W` (features, width) and `output.b` (features).
    """

    features: int
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)
