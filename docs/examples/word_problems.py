"""The word problem of a group of permutations: to say, after each factor of a product, which element it is so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import NamedTuple

import numpy as np

from rnnspec import Dense, Layer, Network, losses

Permutation = tuple[int, ...]


class Batch(NamedTuple):
    """Factors as one-hot vectors (time, batch, feature), and after each the number of the product (time, batch)."""

    inputs: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Words:
    """Products of permutations of `points`: each step draws a factor among those that move at most `moved` of them.

    Among the factors is the one that moves nothing, so that a product's length does not say whether it is even.
    """

    name: str
    points: int
    moved: int

    @cached_property
    def factors(self) -> tuple[Permutation, ...]:
        return tuple(each for each in self.elements if sum(i != p for i, p in enumerate(each)) <= self.moved)

    @cached_property
    def elements(self) -> tuple[Permutation, ...]:
        """All permutations, first the one that moves nothing, from which products start."""
        return tuple(permutations(range(self.points)))

    @cached_property
    def products(self) -> np.ndarray:
        """The number of each element times each factor (element, factor)."""
        number = {each: i for i, each in enumerate(self.elements)}
        return np.array([[number[after(factor, each)] for factor in self.factors] for each in self.elements])

    @property
    def chance(self) -> float:
        """The accuracy of a guess, after so many factors that every element is as likely."""
        return 1 / len(self.elements)

    def network(self, layer: Layer) -> Network:
        return Network(len(self.factors), [layer], output=Dense(len(self.elements)),
                       loss=losses.SoftmaxCrossEntropy())  # fmt: skip

    def batch(self, rng: np.random.Generator, steps: int, rows: int) -> Batch:
        drawn = rng.integers(0, len(self.factors), (steps, rows))
        targets, so_far = np.empty_like(drawn), np.zeros(rows, int)
        for step, factor in enumerate(drawn):
            so_far = targets[step] = self.products[so_far, factor]
        return Batch(np.eye(len(self.factors))[drawn], targets)


def after(second: Permutation, first: Permutation) -> Permutation:
    """The permutation that moves by the first, then by the second."""
    return tuple(second[place] for place in first)


TASKS = (Words("parity", points=2, moved=2), Words("S5, swaps", points=5, moved=2),
         Words("S5, swaps and cycles of three", points=5, moved=3))  # fmt: skip
"""Parity is the word problem of two points: a one swaps them, and a zero does not."""
