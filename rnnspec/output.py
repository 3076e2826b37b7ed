"""The outputs of a network: the steps that are read, and the output layer.

>>> Dense(10)
Dense(features=10)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnspec.initialisers import Initialiser

__all__ = ["Dense", "Last", "Read", "Steps"]


class Read:
    """The steps of the layers' outputs that a network reads."""


@dataclass(frozen=True)
class Steps(Read):
    """Every step: outputs are `(time, batch, features)`, zeros after a row's end."""


@dataclass(frozen=True)
class Last(Read):
    """Each direction's last processed step, `(batch, features)`: for the reverse half that is time 0.

    The outputs of a row of length 0 are zeros, and the loss and its count leave the row out.
    """


@dataclass(frozen=True)
class Dense:
    """The output layer o_t = W h_t + b: logits, not probabilities. Elman (1990), section 2.

    `features` is the number of outputs. Parameters are `output.W` (features, width) and `output.b` (features).
    """

    features: int
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)
