"""A backend that takes one rule for another, wherever it stands."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar

from conformance.mutants.faulty import Faulty
from conformance.properties.learning.parted import Parted
from rnnspec import Trained
from rnnspec.control.rule import Chain, Rule
from rnnspec.policies import ScaleLoss, SkipNonFinite

__all__ = ["Ruled"]


class Ruled(Faulty):
    """Puts a faulty rule in the place of every rule of one kind."""

    instead: ClassVar[dict[type[Rule], type[Rule]]] = {}

    def train_step(self, net: Any, rule: Any, *given: Any, **named: Any) -> Trained:
        return super().train_step(net, _replaced(rule, self.instead), *given, **named)


def _replaced(rule: Any, instead: dict[type[Rule], type[Rule]]) -> Any:
    if isinstance(rule, Chain):
        return Chain(tuple(_replaced(part, instead) for part in rule.rules))
    if isinstance(rule, Parted):
        return Parted(tuple(replace(part, rule=_replaced(part.rule, instead)) for part in rule.parts))
    if isinstance(rule, SkipNonFinite | ScaleLoss):
        rule = replace(rule, rule=_replaced(rule.rule, instead))
    other = instead.get(type(rule))
    return rule if other is None else other(**{f.name: getattr(rule, f.name) for f in fields(rule)})
