"""Initial values, drawn in NumPy and so the same for every backend.

Each map has its own random generator, seeded by the seed and the map's dotted name. So the order of maps does not
matter, and another layer changes no numbers of this one.

>>> import numpy as np
>>> Glorot().draw(np.random.default_rng(0), (2, 3), hidden=2).shape
(2, 3)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnspec.errors import NetworkError

__all__ = ["Chrono", "Constant", "Glorot", "Identity", "Initialiser", "Normal", "Opposite", "Orthogonal", "Uniform",
           "Zeros"]  # fmt: skip

Array = NDArray[np.float64]


class Initialiser(ABC):
    """Draws the initial values of one map or vector."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        """An array of `shape` in float64; `hidden` is the width of the layer's output; of a layer without a state, and
        of the output layer, that of its inputs."""

    def drawn_as(self, name: str) -> str:
        """The name, such as `b.f`, that seeds the generator: by default the map's own name."""
        return name


@dataclass(frozen=True)
class Uniform(Initialiser):
    """Uniform on +-1/sqrt(hidden) for maps and biases, as in torch.nn, Equinox and MLX. The default."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        bound = 1.0 / np.sqrt(hidden)
        return rng.uniform(-bound, bound, shape)


@dataclass(frozen=True)
class Glorot(Initialiser):
    """Uniform on +-sqrt(6 / (in + out)): Glorot and Bengio (2010), equation 16, for each map."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        bound = np.sqrt(6.0 / (shape[0] + shape[-1]))
        return rng.uniform(-bound, bound, shape)


@dataclass(frozen=True)
class Orthogonal(Initialiser):
    """Orthonormal rows or columns of each map: Saxe, McClelland and Ganguli (2014), section 3.

    `gain` multiplies every entry.
    """

    gain: float = 1.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        rows, columns = (shape[0], shape[-1]) if len(shape) > 1 else (shape[0], 1)
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diagonal(r))
        return np.ascontiguousarray(self.gain * (q if rows >= columns else q.T)).reshape(shape)


@dataclass(frozen=True)
class Identity(Initialiser):
    """The identity times `gain`: Le, Jaitly and Hinton (2015), for a recurrent map under a ReLU."""

    gain: float = 1.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return self.gain * np.eye(shape[0], shape[-1]) if len(shape) > 1 else np.full(shape, self.gain)


@dataclass(frozen=True)
class Normal(Initialiser):
    """Normal with mean 0 and standard deviation `deviation`."""

    deviation: float = 0.01

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return rng.normal(0.0, self.deviation, shape)


@dataclass(frozen=True)
class Zeros(Initialiser):
    """All entries 0."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Constant(Initialiser):
    """All entries `value`: `Constant(1.0)` for `"b.f"` is the forget-gate bias of Gers et al. (2000)."""

    value: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Chrono(Initialiser):
    """The log of uniform numbers of 1..longest - 1, for the bias of a gate that keeps: Tallec and Ollivier (2018), 3.

    It starts a layer with memories of 1 to `longest` steps. For an LSTM write `{"b.f": Chrono(100), "b.i":
    Opposite("b.f", Chrono(100))}`, for a GRU `{"b.z": Chrono(100)}`. Raises NetworkError where `longest` is below 2.
    """

    longest: float

    def __post_init__(self) -> None:
        number = isinstance(self.longest, int | float) and not isinstance(self.longest, bool)
        if not number or not 2 <= self.longest < np.inf:
            raise NetworkError("Chrono(longest)", "longest must be a finite number of at least 2", repr(self.longest),
                               "give the longest range of dependencies in steps")  # fmt: skip

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return np.log(rng.uniform(1.0, self.longest - 1.0, shape))


@dataclass(frozen=True)
class Opposite(Initialiser):
    """The negative of what an initialiser draws for the map `of`, such as `b.f`, of the same half and shape."""

    of: str
    initialiser: Initialiser

    def drawn_as(self, name: str) -> str:
        return self.initialiser.drawn_as(self.of)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], hidden: int) -> Array:
        return -self.initialiser.draw(rng, shape, hidden)
