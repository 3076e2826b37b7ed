"""The stages between an input and an output of a graph, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnspec.convert.onnx_features import (
    END,
    START,
    Affine,
    End,
    Entry,
    Features,
    Function,
    Half,
    Lookup,
    Norm,
    Origin,
    Select,
    Sum,
)
from rnnspec.convert.onnx_operator import Operator
from rnnspec.layer import DIRECTIONS

__all__ = ["Broken", "Chain", "Link", "chain_to"]

ENDS = {"forward": END, "reverse": START}
"""The time at which each direction has its last step."""


@dataclass(frozen=True, eq=False)
class Broken(Exception):
    """Features that no chain of layers gives: the operator that a network does not have, and why."""

    operator: Operator
    why: str


@dataclass(frozen=True, eq=False)
class Link:
    """One stage, or the directions of one layer, forward first.

    `columns` are those of its outputs that the next link reads, in that order. `time` is where they are read: at every
    step (the empty text), at each direction's last step ("last"), or at the last time ("end"), by the operator
    `select`. `block` is the number of links, this one the last, around which inputs are added to outputs.
    """

    stages: tuple[Any, ...]
    columns: Any
    time: str = ""
    block: int = 0
    select: Operator | None = None

    @property
    def operator(self) -> Operator:
        """The operator that a message names."""
        found: Operator = self.stages[0].operator
        return found

    @property
    def source(self) -> Any:
        """The numbers of the features that it reads."""
        return self.stages[0].source


@dataclass(frozen=True, eq=False)
class Chain:
    """The links to an output, and the input or the lookup before them, with its columns that the first link reads."""

    entry: Entry | Lookup
    columns: Any
    links: tuple[Link, ...]


def chain_to(features: Features, numbers: Any, wanted: frozenset[Half]) -> Chain:
    """The chain that gives features; `wanted` are directions that are kept, whether or not it reads them.

    Raises Broken where the features come from elsewhere.
    """
    links = list[Link]()
    while True:
        origin = features.origin(numbers)
        if all(isinstance(stage, Entry | Lookup) for stage in origin.stages):
            break
        added = _links(features, origin, wanted)
        links += added
        numbers = added[-1].source
    if not links:
        raise Broken(origin.stages[0].operator, "no recurrent node stands after it")
    if len(origin.stages) > 1:
        raise Broken(links[-1].operator, "it reads several inputs")
    return Chain(origin.stages[0], origin.columns, tuple(links[::-1]))


def _links(features: Features, origin: Origin, wanted: frozenset[Half]) -> list[Link]:
    """The links that give features, the last first."""
    first = origin.stages[0]
    if all(isinstance(stage, Select) for stage in origin.stages):
        return _selected(features, origin, wanted)
    if all(isinstance(stage, Half) for stage in origin.stages):
        return [_layer(origin, wanted)]
    if isinstance(first, Sum) and len(origin.stages) == 1:
        return _residual(features, origin, wanted)
    if len(origin.stages) == 1 and isinstance(first, Affine | Function | Norm | End):
        return [Link((first,), origin.columns)]
    operator = next((stage.operator for stage in origin.stages if hasattr(stage, "operator")), None)
    raise Broken(operator, "features of several layers stand side by side")  # type: ignore[arg-type]


def _layer(origin: Origin, wanted: frozenset[Half]) -> Link:
    """The layer of one or two directions."""
    nodes = {half.node for half in origin.stages}
    found = list(dict.fromkeys([*origin.stages, *(half for half in wanted if half.node in nodes)]))
    found.sort(key=lambda half: tuple(DIRECTIONS["bidirectional"]).index(half.direction))
    directions = tuple(half.direction for half in found)
    first = found[0]
    same = all(np.array_equal(half.source, first.source) for half in found)
    if directions not in DIRECTIONS.values() or not same:
        raise Broken(found[-1].operator, f"it runs {' and '.join(directions)} beside {first.operator}")
    width = first.node.width
    offsets = {half: i * width for i, half in enumerate(found)}
    columns = origin.columns + np.array([offsets[stage] for stage in origin.stages])[origin.places]
    return Link(tuple(found), columns)


def _selected(features: Features, origin: Origin, wanted: frozenset[Half]) -> list[Link]:
    """The link whose steps are read at one end, where that is each direction's last step or the last time."""
    numbers = np.array([origin.stages[place].source[column]
                        for place, column in zip(origin.places, origin.columns, strict=True)])  # fmt: skip
    inner = features.origin(numbers)
    links = _links(features, inner, wanted)
    times, select = [origin.stages[place].time for place in origin.places], origin.stages[0].operator
    stages = [inner.stages[place] for place in inner.places]
    if all(isinstance(stage, Half) and ENDS[stage.direction] == time
           for stage, time in zip(stages, times, strict=True)):  # fmt: skip
        return [replace(links[0], time="last", select=select), *links[1:]]
    if set(times) == {END}:
        return [replace(links[0], time="end", select=select), *links[1:]]
    raise Broken(select, "it takes steps that are not each direction's last")


def _residual(features: Features, origin: Origin, wanted: frozenset[Half]) -> list[Link]:
    """The links of a block whose outputs are added to its inputs."""
    total = origin.stages[0]
    for given, added in ((total.source, total.other), (total.other, total.source)):
        numbers, links = given, list[Link]()
        while not np.array_equal(numbers, added):
            inner = features.origin(numbers)
            if all(isinstance(stage, Entry | Lookup) for stage in inner.stages):
                break
            links += _links(features, inner, wanted)
            numbers = links[-1].source
        else:
            whole = np.array_equal(links[0].columns, np.arange(len(given))) if links else False
            if whole and not any(link.time for link in links):
                return [replace(links[0], columns=origin.columns, block=len(links)), *links[1:]]
    both = np.concatenate([total.source, total.other])
    if _is_one_layer(features.origin(both)):
        one = np.eye(len(total.source), dtype=np.float32)
        return [Link((Affine(total.operator, both, np.concatenate([one, one], 1)),), origin.columns)]
    raise Broken(total.operator, "it adds features of two layers")


def _is_one_layer(origin: Origin) -> bool:
    """Whether features are those of one stage, or of the directions of one layer."""
    halves = all(isinstance(stage, Half) and np.array_equal(stage.source, origin.stages[0].source)
                 for stage in origin.stages)  # fmt: skip
    return len(origin.stages) == 1 or halves
