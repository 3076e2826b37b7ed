"""Faults with where a cotangent stands: zeros of it are taken for padding, for rows that need nothing, for the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty, Pulled
from rnnspec import Gradients, Steps
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class _Shortened(Faulty):
    """A pullback without lengths makes some of its output cotangent's zeros."""

    def ends(self, some: Array) -> Array:
        """Where rows end, of `some` (time, batch), which is true where a cotangent is."""
        return np.full(some.shape[1], len(some))

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        some = np.any(np.asarray(output_cotangent), -1)
        if lengths is None and isinstance(net.read, Steps) and some.any():
            lengths = self.ends(some)
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)


class TrailingStepsArePadding(_Shortened):
    """Without lengths, steps behind the last with an output cotangent are taken for padding."""

    def ends(self, some: Array) -> Array:
        return np.full(some.shape[1], len(some) - int(np.argmax(some.any(1)[::-1])))


class TrailingZerosOfARowArePadding(_Shortened):
    """Without lengths, each row ends with its last output cotangent."""

    def ends(self, some: Array) -> Array:
        return np.where(some.any(0), len(some) - np.argmax(some[::-1], 0), 0)


class RowsWithoutOneAreDropped(_Shortened):
    """Without lengths, rows without an output cotangent are left out."""

    def ends(self, some: Array) -> Array:
        return np.where(some.any(0), len(some), 0)


class RowsAreDropped(Faulty):
    """Rows without an output cotangent are left out, unless no row has one."""

    def pulled(self, pulled: Pulled) -> Pulled:
        some = np.any(pulled.output_cotangent, (0, 2))
        if not some.any():
            return pulled
        kept = tree_map(lambda s: np.where(some[:, None], s, s.dtype.type(0)), pulled.state_cotangent)
        return replace(pulled, state_cotangent=kept)


class CountsBesideOutputsAlone(Faulty):
    """The final state's cotangent is dropped where earlier outputs have a cotangent and the last ones have none."""

    def pulled(self, pulled: Pulled) -> Pulled:
        w = pulled.output_cotangent
        late = bool(np.any(w)) and not np.any(w[-1])
        return replace(pulled, state_cotangent=tree_map(np.zeros_like, pulled.state_cotangent)) if late else pulled


class NothingReachesAStep(Faulty):
    """Where no cotangent reaches a step, all gradients are zeros, also those of states."""

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        found = super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)
        if lengths is None or not np.any(lengths) or any(np.any(g) for g in _leaves(found.params)):
            return found
        return replace(found, state=tree_map(np.zeros_like, found.state))


def _leaves(tree: Tree) -> list[Array]:
    found: list[Array] = []
    tree_map(found.append, tree)
    return found
