"""Class numbers as inputs: each is a row of a learned matrix.

>>> Embedding(97, 32)
Embedding(classes=97, features=32)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnspec.errors import NetworkError
from rnnspec.initialisers import Initialiser
from rnnspec.showing import shown

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding:
    """The inputs of a network that are class numbers 0..classes - 1: the first layer sees row `E[k]` of class k.

    The parameter is `embedding.E` (classes, features). `initial` maps "E" to an initialiser; `Uniform()` for `features`
    is the default. A lookup finds what a product with one-hot vectors would. Raises NetworkError where a size is no
    whole number of at least 1.
    """

    classes: int
    features: int
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, size in (("classes", self.classes), ("features", self.features)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise NetworkError("Embedding(classes, features)", f"{name} must be a whole number of at least 1",
                                   shown(size), f"give the number of {name}")  # fmt: skip
