"""The places at which a backend can be faulty: what a layer is asked and answers, what its pullback is, a whole
call, a training step.

A protocol mutant is a subclass of `Faulty` that overrides one of these places; its docstring says what is wrong. It is
laid over the class of the backend it is made from.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial, wraps
from types import ModuleType
from typing import Any

from rnnspec import Backend, Call, Cell, Gradients, Key, LayerResult, Mutant, Network, Result, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.contract.resets import Resets
from rnnspec.tree import Tree

__all__ = ["Asked", "Faulty", "Given", "Pulled", "protocol_mutants"]


@dataclass(frozen=True)
class Asked:
    """What `Backend.layer` is asked."""

    cell: Cell
    params: Tree
    inputs: Array
    state: Tree
    lengths: Array | None
    call: Call
    resets: Resets | None = None


@dataclass(frozen=True)
class Pulled:
    """What `Backend.layer_pullback` is asked."""

    cell: Cell
    params: Tree
    result: LayerResult
    output_cotangent: Array
    state_cotangent: Tree
    call: Call


@dataclass(frozen=True)
class Given:
    """What every call of a backend is given."""

    net: Network
    params: Tree
    inputs: Array
    state: Tree
    lengths: Array | None
    resets: Array | None = None


CALLS = ("run", "pullback", "value_and_grad", "train_step")


class Faulty(Backend):
    """Every place as it should be. A subclass whose calls do not name the key has it all the same."""

    key: Key | None = None

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in CALLS:
            call = vars(cls).get(name)
            if call is not None and not _takes_key(call):
                setattr(cls, name, _keyed(call))

    def given(self, given: Given) -> Given:
        """What a call goes on with."""
        return given

    def asked(self, asked: Asked) -> Asked:
        """What a layer goes on with."""
        return asked

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        """What a layer answers."""
        return result

    def pulled(self, pulled: Pulled) -> Pulled:
        """What a layer's pullback goes on with."""
        return pulled

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        """What a layer's pullback answers."""
        return gradients

    def begun(self, given: Given) -> Given:
        """What a training step goes on with."""
        return given

    def trained(self, given: Given, done: Trained) -> Trained:
        """What a training step answers."""
        return done

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        asked = self.asked(Asked(cell, params, inputs, state, lengths, call, resets))
        return self.answered(asked, super().layer(*_values(asked)))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        pulled = self.pulled(Pulled(cell, params, result, output_cotangent, state_cotangent, call))
        return self.pulled_back(pulled, super().layer_pullback(*_values(pulled)))

    def run(self, net: Network, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None, key: Key | None = None) -> Result:  # fmt: skip
        g = self.given(Given(net, params, inputs, state, lengths, resets))
        return super().run(g.net, g.params, g.inputs, g.state, g.lengths, g.resets, key or self.key)

    def pullback(
        self,
        net: Network,
        params: Tree,
        inputs: Array,
        output_cotangent: Array,
        state_cotangent: Tree = None,
        state: Tree = None,
        lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Gradients:
        g = self.given(Given(net, params, inputs, state, lengths, resets))
        return super().pullback(g.net, g.params, g.inputs, output_cotangent, state_cotangent, g.state, g.lengths,
                                g.resets, key or self.key)  # fmt: skip

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Step:
        g = self.given(Given(net, params, inputs, state, lengths, resets))
        return super().value_and_grad(g.net, g.params, g.inputs, targets, g.state, g.lengths, g.resets,
                                      key or self.key)  # fmt: skip

    def train_step(
        self, net: Network, rule: Any, params: Tree, rule_state: Tree, inputs: Array, targets: Array,
        state: Tree = None, lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Trained:  # fmt: skip
        g = self.begun(Given(net, params, inputs, state, lengths, resets))
        return self.trained(g, super().train_step(g.net, rule, g.params, rule_state, g.inputs, targets, g.state,
                                                  g.lengths, g.resets, key or self.key))  # fmt: skip


def protocol_mutants(module: ModuleType) -> Iterator[Mutant]:
    """One mutant for each public subclass of `Faulty` that a module defines."""
    for name, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Faulty) and found.__module__ == module.__name__ and not name.startswith("_"):
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
            yield Mutant(f"{module.__name__.split('.')[-1]}: {words}", inspect.cleandoc(found.__doc__ or ""),
                         partial(_make, found))  # fmt: skip


def _takes_key(call: Callable[..., Any]) -> bool:
    known = inspect.signature(call).parameters
    return "key" in known or any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())


def _keyed(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that does not name the key; what it calls on this object has the key."""

    @wraps(call)
    def found(self: Faulty, *given: Any, key: Key | None = None, **named: Any) -> Any:
        before, self.key = self.key, key or self.key
        try:
            return call(self, *given, **named)
        finally:
            self.key = before

    return found


def _make(fault: type[Faulty], backend: Backend) -> Backend:
    made: Any = type(fault.__name__, (fault, type(backend)), {})
    precision = getattr(fault, "only_precision", backend.precision)
    return made(backend.device, precision)  # type: ignore[no-any-return]


def _values(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, field.name) for field in fields(record))
