"""The outputs of a network: the steps that are read, and the dense layer, such as the output layer.

>>> Dense(10)
Dense(features=10)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.feed_forward import FeedForward, activated
from rnnspec.initialisers import Initialiser
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell

__all__ = ["Dense", "Last", "Read", "Steps", "Tied"]


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
class Dense(FeedForward):
    """A dense layer: activation(W x + b), of each step by itself.

    As the `output` of a network it is o_t = W h_t + b, logits and not probabilities, without an activation: Elman
    (1990), section 2. Its parameters are `output.W` (features, width) and `output.b` (features). In `layers` and in the
    `head` it stands for a layer of the cell `dense`, with parameters such as `layers.1.forward.W.y`. `features` is the
    number of its outputs. `activation` is a function of `rnnspec.primitives`, or any function of one vector made of
    them. Raises NetworkError where it is none.
    """

    features: int
    activation: Callable[[Any], Any] | None = None
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.activation is not None and not callable(self.activation):
            raise NetworkError("Dense(features, activation)", "activation must be a function of a vector, or None",
                               shown(self.activation), "give one of rnnspec.primitives, such as tanh")  # fmt: skip

    def __repr__(self) -> str:
        name = getattr(self.activation, "__name__", repr(self.activation))
        return f"Dense(features={self.features}{'' if self.activation is None else f', activation={name}'})"

    @property
    def cell(self) -> Cell:
        return activated(self.activation)

    def width(self, inputs: int) -> int:
        """The number of outputs; raises NetworkError where `features` is none."""
        if type(self.features) is not int or self.features < 1:
            raise NetworkError("Network(...)", "features of Dense must be a whole number of at least 1",
                               shown(self.features), "give the number of outputs")  # fmt: skip
        return self.features

@dataclass(frozen=True)
class Tied:
    """The output layer o_t = E h_t + b with the matrix E of the network's Embedding: Press and Wolf (2017).

    There are as many outputs as classes, and the width that is read must be the embedding's features. The one parameter
    is `output.b` (classes); the gradient of `embedding.E` is the sum of both uses.
    """

    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)
