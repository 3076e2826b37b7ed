"""A training step as a question, and gradients of a wanted size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from conformance import oracle, tolerance
from conformance.properties.asking import Question, flat
from conformance.tolerance import PROFILES, Reference
from rnnspec import Trained
from rnnspec.control.rule import Rule
from rnnspec.tree import Tree, tree_map
from rnnspec.updates import SGD

__all__ = ["DESCENT", "Sized", "mean_of", "scaled", "train", "train_reference"]

DESCENT = SGD(0.125, 0.875)
"""A rule with a state, in which a first step leaves the mean gradient."""


@dataclass
class Sized:
    """A question whose mean gradient has about a given norm; its sign is that of the size."""

    question: Question
    size: float

    def __post_init__(self) -> None:
        first = self.question
        z = first.run_reference().expected()["outputs"]
        away = (first.given.targets - z).astype(z.dtype)
        norm = float(np.linalg.norm(flat(mean_of(first))))
        self.question = first.but(targets=(z + away * (self.size / norm)).astype(z.dtype))
        self.mean = mean_of(self.question)

    def trained(self, rule: Rule) -> Trained:
        """One training step."""
        return train(self.question, rule)

    def reference(self, rule: Rule) -> Reference:
        """What that gives, and the yardstick."""
        return train_reference(self.question, rule)


def train(question: Question, rule: Any, kept: Tree = None) -> Trained:
    """One training step of a question with targets; a fresh rule state if None is given."""
    g, backend = question.given, question.backend
    kept = rule.init(g.params) if kept is None else kept
    done = backend.train_step(question.net, rule, g.params, kept, g.inputs, g.targets, g.state, g.lengths,
                              *question.resets)  # fmt: skip
    numbers = {name: backend.to_numpy(getattr(done, name)) for name in ("params", "rule_state", "loss_sum", "state")}
    return replace(done, **numbers)


def train_reference(question: Question, rule: Rule, kept: Tree = None) -> Reference:
    """What one training step must give, and the yardstick; from a fresh rule state if None is given."""
    g = question.given
    batch = (g.inputs, g.targets, g.state, g.lengths, *question.resets)
    compute = partial(oracle.train, question.net, rule, g.params, [batch], rule_state=kept)
    return tolerance.reference(PROFILES[question.backend.precision], compute)


def mean_of(question: Question) -> Tree:
    """The gradients of the mean loss, as the rule sees them."""
    step = question.step()
    return tree_map(lambda g: g * g.dtype.type(1 / max(step.count, 1)), step.grads.params)


def scaled(tree: Tree, factor: float) -> Tree:
    """A tree times a number."""
    return tree_map(lambda g: (g * factor).astype(g.dtype), tree)
