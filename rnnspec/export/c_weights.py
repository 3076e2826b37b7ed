"""The weights of a network as C has them: maps that share a product one below the other, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.export.c_plan import Pack, Plan
from rnnspec.export.c_words import Words
from rnnspec.export.rounding import in_8_bits
from rnnspec.running.beginning import LEARNED
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Member", "around", "of_half", "to_bytes"]

Array = Any


@dataclass(frozen=True)
class Member:
    """One member of the struct of weights: its name, its numbers in memory order, and whether they have 8 bits."""

    name: str
    values: Array

    @property
    def in_8(self) -> bool:
        """Whether the numbers are whole ones of 8 bits."""
        return bool(self.values.dtype == np.int8)


def of_half(place: str, plan: Plan, words: Words, params: Tree, int8: bool) -> list[Member]:
    """The weights of one half of a layer."""
    cell, found = plan.own.cell, list[Member]()
    names = [node.name for node in plan.nodes if node.op == "input"] if cell.given is None else []
    if names:
        found += _map(words.member(place, "W"), np.concatenate([params["W"][name] for name in names]), words, int8)
        found.append(_vector(words.member(place, "b"), np.concatenate([params["b"][name] for name in names]), words))
    for index, pack in enumerate(plan.packs):
        found += _map(words.member(place, f"U{index}"), _stacked(cell, pack, params["U"]), words, int8)
    for index, node in ((i, node) for i, node in enumerate(plan.nodes) if node.op == "vector"):
        name, a = words.member(place, "p", node.name), params["p"][node.name]
        is_matrix = len(plan.own.sizes[index]) > 1
        found += _scaled(name, *in_8_bits(a), words) if is_matrix and int8 else [_vector(name, a, words)]
    found += [_vector(words.member(place, LEARNED, state), a, words) for state, a in params.get(LEARNED, {}).items()]
    return found


def around(params: Tree, words: Words, int8: bool) -> list[Member]:
    """The weights around the layers: those of an embedding, row by row, and of the output layer."""
    found = list[Member]()
    if "embedding" in params:
        a = params["embedding"]["E"]
        found += _scaled("embedding_E", *in_8_bits(a), words) if int8 else [_vector("embedding_E", a, words)]
    own = params.get("output", {})
    found += _map("output_W", own["W"], words, int8) if "W" in own else []
    return found + ([_vector("output_b", own["b"], words)] if own else [])


def to_bytes(members: Iterable[Member]) -> bytes:
    """The members as they lie in memory: little-endian, those of 8 bits last."""
    return b"".join(np.ascontiguousarray(m.values, m.values.dtype.newbyteorder("<")).tobytes() for m in members)


def _stacked(cell: Cell, pack: Pack, maps: Mapping[str, Array]) -> Array:
    """The maps of a pack one below the other: (out, in), or (heads, out, in) where heads have their own."""
    return np.concatenate([maps[name] for name in pack.names], -2)


def _map(name: str, a: Array, words: Words, int8: bool) -> list[Member]:
    """A map by columns, with the scales of its rows where it has 8 bits."""
    if int8:
        whole, scale = in_8_bits(a)
        return _scaled(name, np.swapaxes(whole, -1, -2), scale, words)
    return [_vector(name, np.swapaxes(a, -1, -2), words)]


def _scaled(name: str, whole: Array, scale: Array, words: Words) -> list[Member]:
    return [Member(name, whole), _vector(f"{name}_scale", scale, words)]


def _vector(name: str, a: Array, words: Words) -> Member:
    return Member(name, np.asarray(a, {"float": np.float32, "double": np.float64}[words.real]))
