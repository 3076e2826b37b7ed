"""Faults of noise: which masks a call has, where they act, and what becomes of what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Gradients, Key, Layer, Network, Result
from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.contract.capabilities import DTYPES
from rnnspec.noise import Dropout, GateDropout, PerSequence, PerStep, Zoneout
from rnnspec.running import execution
from rnnspec.tree import Tree, tree_map

PLACES = {execution.run: 5, execution.pullback: 7, execution.value_and_grad: 7}
"""Where the masks stand among the arguments of each program."""


class _OfKeys(Faulty):
    """Every call has another key."""

    def other(self, key: Key | None) -> Key | None:
        """The key that a call goes on with."""
        return key

    def run(self, *given: Any, **named: Any) -> Result:
        return super().run(*given, **{**named, "key": self.other(named.get("key"))})

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **{**named, "key": self.other(named.get("key"))})


class KeyIgnored(_OfKeys):
    """A call with a key has no noise."""

    def other(self, key: Key | None) -> Key | None:
        return None


class SeedIgnored(_OfKeys):
    """All seeds have the same masks."""

    def other(self, key: Key | None) -> Key | None:
        return key and replace(key, seed=0)


class RowsCountFromTheShard(_OfKeys):
    """A row's mask depends on its place in the call, not on its number."""

    def other(self, key: Key | None) -> Key | None:
        return key and replace(key, row=0)


class StepsCountFromTheWindow(_OfKeys):
    """A step's mask depends on its place in the call, not on its number."""

    def other(self, key: Key | None) -> Key | None:
        return key and replace(key, step=0)


class NoiseInEvaluation(_OfKeys):
    """A call without a key has noise."""

    def other(self, key: Key | None) -> Key | None:
        return key or Key(0)


class PullbackWithoutMasks(Faulty):
    """The pullback is that of the network without noise."""

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        return super().pullback(*given, **{**named, "key": None})


class PullbackWithOtherMasks(Faulty):
    """The pullback draws masks of its own."""

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        key = named.get("key")
        return super().pullback(*given, **{**named, "key": key and replace(key, seed=key.seed + 1)})


class _OfMasks(Faulty):
    """Every call has other masks."""

    def masked(self, layers: list[Tree]) -> list[Tree]:
        """The masks of all layers that a program goes on with."""
        return layers

    def program(self, function: Callable[..., tuple[Tree, Tree]], *constants: Any) -> Callable[..., tuple[Tree, Tree]]:
        inner, place = super().program(function, *constants), PLACES.get(function, 0)

        def call(*arguments: Tree) -> tuple[Tree, Tree]:
            if not place or len(arguments) <= place:
                return inner(*arguments)
            given = list(arguments)
            given[place] = {**given[place], "layers": self.masked(given[place]["layers"])}
            return inner(*given)

        return call


class SameMaskForAllLayers(_OfMasks):
    """Layers of one width share the mask of their inputs."""

    def masked(self, layers: list[Tree]) -> list[Tree]:
        known: dict[tuple[int, ...], Array] = {}
        return [{**one, "inputs": known.setdefault(one["inputs"].shape, one["inputs"])} if "inputs" in one else one
                for one in layers]  # fmt: skip


class KeptIsDropped(_OfMasks):
    """What a mask keeps is dropped."""

    def masked(self, layers: list[Tree]) -> list[Tree]:
        return tree_map(np.logical_not, layers)  # type: ignore[no-any-return]


class OneMaskForAllRows(_OfMasks):
    """All rows have the mask of the first one."""

    def masked(self, layers: list[Tree]) -> list[Tree]:
        def first(mask: Array) -> Array:
            return np.broadcast_to(mask[:, :1], mask.shape) if mask.ndim == 3 else mask

        return tree_map(first, layers)  # type: ignore[no-any-return]


class StatesAndMapsHaveNoNoise(_OfMasks):
    """Only dropout of inputs acts: zoneout updates every entry, and maps are whole."""

    def masked(self, layers: list[Tree]) -> list[Tree]:
        def whole(one: Tree) -> Tree:
            return {name: mask if name == "inputs" else tree_map(np.ones_like, mask) for name, mask in one.items()}

        return [whole(one) for one in layers]


class _OfNetworks(Faulty):
    """Every call is one of a network with other noise."""

    def noise(self, layer: Layer) -> tuple[Any, ...]:
        """The noise that a layer goes on with."""
        return layer.noises

    def given(self, given: Given) -> Given:
        if not given.net.has_noise:
            return given
        layers = [replace(layer, noise=self.noise(layer)) for layer in given.net.layers]
        net: Network = replace(given.net, layers=layers)
        return replace(given, net=net)


class MaskAtEachStep(_OfNetworks):
    """A sequence has a mask for each step where it must have one for all."""

    def noise(self, layer: Layer) -> tuple[Any, ...]:
        return tuple(replace(one, masks=PerStep()) if isinstance(one, Dropout | GateDropout) else one
                     for one in layer.noises)  # fmt: skip


class MaskForTheSequence(_OfNetworks):
    """A sequence has one mask where it must have one for each step."""

    def noise(self, layer: Layer) -> tuple[Any, ...]:
        return tuple(replace(one, masks=PerSequence()) if isinstance(one, Dropout | GateDropout) else one
                     for one in layer.noises)  # fmt: skip


class ZoneoutOfAnotherState(_OfNetworks):
    """Zoneout acts on another state of the cell than it names."""

    def noise(self, layer: Layer) -> tuple[Any, ...]:
        states = layer.cell.states

        def turned(one: Zoneout) -> Zoneout:
            return Zoneout({states[(states.index(s) + 1) % len(states)]: rate for s, rate in one.rates(states).items()})

        return tuple(turned(one) if isinstance(one, Zoneout) else one for one in layer.noises)


class ZoneoutWithoutExpectation(Faulty):
    """A call without a key has the new states, not the expectation of zoneout."""

    def run(self, net: Network, *given: Any, **named: Any) -> Result:
        layers = [replace(layer, noise=tuple(one for one in layer.noises if not isinstance(one, Zoneout)))
                  for layer in net.layers]  # fmt: skip
        return super().run(net if named.get("key") else replace(net, layers=layers), *given, **named)


class KeptIsNotDivided(Faulty):
    """What is kept is not divided by 1 - rate."""

    def make_arrays(self) -> Any:
        return _Dividing(DTYPES[self.precision], 0)


class KeptIsDividedTwice(Faulty):
    """What is kept is divided by 1 - rate two times."""

    def make_arrays(self) -> Any:
        return _Dividing(DTYPES[self.precision], 2)


SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
"""The rates of the networks that the laws of noise are tested on."""


class _Dividing(NumpyArrays):
    """Arrays that know the numbers 1 / (1 - rate)."""

    def __init__(self, dtype: Any, times: int) -> None:
        super().__init__(dtype)
        self.times = times

    def scalar(self, value: float) -> Array:
        scales = [1 / (1 - rate) for rate in SHARES]
        return super().scalar(value**self.times if value in scales else value)
