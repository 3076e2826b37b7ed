"""Update rules: from the gradient of the mean loss to the change of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnspec.control.rule import UpdateRule
from rnnspec.control.spectral import HoldSpectralNorm
from rnnspec.errors import NetworkError
from rnnspec.primitives import sqrt
from rnnspec.showing import shown
from rnnspec.tree import Tree, tree_map

__all__ = ["SGD", "Adam", "HoldSpectralNorm"]


@dataclass(frozen=True)
class SGD(UpdateRule):
    """Gradient descent with momentum: v = momentum v + g; w = w - rate v, from v = 0.

    Sutskever et al. (2013), equations 1 and 2, in the form of torch.optim. Raises NetworkError where a number is not
    valid.
    """

    rate: float
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _check("SGD", rate=self.rate)
        _check_decay("SGD", momentum=self.momentum)

    def init(self, params: Tree) -> Tree:
        return {"velocity": _zeros(params)} if self.momentum else ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        if not self.momentum:
            return tree_map(lambda g: -self.rate * g, gradients), state
        velocity = tree_map(lambda v, g: self.momentum * v + g, state["velocity"], gradients)
        return tree_map(lambda v: -self.rate * v, velocity), {"velocity": velocity}


@dataclass(frozen=True)
class Adam(UpdateRule):
    """Adam: Kingma and Ba (2015), algorithm 1, with epsilon added outside the root, after the correction.

    The state holds the corrections 1 - beta^t as `m_mass` and `v_mass`, the same moving averages of ones, so that
    subtraction loses no precision. Raises NetworkError where a number is not valid.
    """

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check("Adam", rate=self.rate, epsilon=self.epsilon)
        _check_decay("Adam", beta1=self.beta1, beta2=self.beta2)

    def init(self, params: Tree) -> Tree:
        return {"m": _zeros(params), "v": _zeros(params), "m_mass": np.zeros(()), "v_mass": np.zeros(())}

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        b1, b2 = self.beta1, self.beta2
        m = tree_map(lambda m, g: b1 * m + (1 - b1) * g, state["m"], gradients)
        v = tree_map(lambda v, g: b2 * v + (1 - b2) * (g * g), state["v"], gradients)
        m_mass = b1 * state["m_mass"] + (1 - b1)
        v_mass = b2 * state["v_mass"] + (1 - b2)
        change = tree_map(lambda m, v: -self.rate * (m / m_mass) / (sqrt(v / v_mass) + self.epsilon), m, v)
        return change, {"m": m, "v": v, "m_mass": m_mass, "v_mass": v_mass}


def _zeros(params: Tree) -> Tree:
    return tree_map(lambda w: np.zeros(tuple(w.shape)), params)


def _check(rule: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise NetworkError(f"{rule}({name}=...)", f"{name} must be a finite number of at least 0", shown(number),
                               "give a number such as 0.001")  # fmt: skip


def _check_decay(rule: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1:
            raise NetworkError(f"{rule}({name}=...)", f"{name} must be at least 0 and below 1", shown(number),
                               "give a number such as 0.9")  # fmt: skip
