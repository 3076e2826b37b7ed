"""Memory: how much the end of a sequence depends on its beginning, measured by the oracle's adjoint.

A row ends where its last output is, or its final states; in the reverse half, at its first output. A cotangent stands
there alone. The gradients of the first input that was read and of the initial states, beside those of the last inputs,
say what the end remembers. Candidates for a network's parameters are measured together, as the runs of one tape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from conformance.cases.case import Case
from conformance.oracle.arithmetic import Arithmetic, Rounding
from conformance.oracle.network import forward
from conformance.oracle.number import uninterrupted
from rnnspec.tree import Tree, leaves, named_map, tree_map

__all__ = ["FAINT", "LEAST", "MOST", "MOST_OF_STATES", "Memory", "Row", "least_of_inputs", "memory", "rows", "unread"]

Array = Any

LEAST, MOST, MOST_OF_STATES = 0.01, 30.0, 1000.0
"""A case remembers if the gradients of its beginning are at least and at most so many times those of its end."""
SHARE = 8
"""In a mean of all inputs each has its share, and the first input has at least one of so many parts of it."""
RECENT = 8
"""The last inputs are so many; one of them alone may stand behind a closed gate."""
FAINT = 1e-4
"""The least gradient of the last inputs, for a cotangent of about 1."""


@dataclass(frozen=True)
class Row:
    """What the end of one row depends on, each array with one number for each candidate.

    `line` are the sizes of the gradients of its inputs (candidates, steps), in the order in which they are read.
    `starts` are those of the initial states of its direction, by half and name, such as `0.forward` and `h`.
    """

    line: Array
    starts: Mapping[str, Mapping[str, Array]]

    @property
    def recent(self) -> Array:
        """The largest gradient of the last inputs."""
        return self.line[:, -RECENT:].max(1)

    @property
    def first(self) -> Array:
        """The gradient of the first input, relative to the last ones."""
        return self.line[:, 0] / self.recent

    @property
    def largest(self) -> Array:
        """The largest gradient of an input, relative to the last ones."""
        return self.line.max(1) / self.recent

    def state(self, half: str, name: str) -> Array:
        """The gradient of an initial state, relative to the last inputs."""
        return self.starts[half][name] / self.recent

    def best(self, half: str) -> Array:
        """That of the initial state of a half which is remembered best."""
        return np.max([self.state(half, name) for name in self.starts[half]], 0)


@dataclass(frozen=True)
class Memory:
    """What a case remembers: `first` for its first input, `largest` for the largest gradient on the way, both relative.

    `states` has each initial state by dotted name. The numbers are those of the worst row. `recent` is the gradient of
    the last inputs itself. `unread` are the halves whose initial states no step reads, in a row at least.
    """

    steps: int
    first: float
    largest: float
    recent: float
    states: Mapping[str, float]
    halves: Mapping[str, tuple[float, float]]
    unread: tuple[str, ...]

    @property
    def read(self) -> tuple[str, ...]:
        """The halves whose initial states are read in every row."""
        return tuple(half for half in self.halves if half not in self.unread)

    @property
    def lost(self) -> str:
        """What the case forgets, or lets grow; empty if it remembers."""
        for half in self.read:
            least, most = self.halves[half]
            if not LEAST <= least <= most <= MOST_OF_STATES:
                return f"the gradient of the initial state of {half} is {least:.1e} to {most:.1e} of the last input's"
        if not least_of_inputs(self.steps) <= self.first or not self.largest <= MOST:
            return f"gradients of inputs are {self.first:.1e} at first and up to {self.largest:.1e} of the last one's"
        return "" if self.recent >= FAINT else f"the last inputs have a gradient of {self.recent:.1e}"


def least_of_inputs(steps: int) -> float:
    """The least gradient of the first input, relative to the last ones."""
    return min(LEAST, 1 / (SHARE * steps))


@lru_cache(maxsize=512)
def memory(case: Case) -> Memory:
    """What a case remembers."""
    given = case.arrays()
    found = rows(case, tree_map(lambda a: a[None], given.params), case.steps)
    named = dict.fromkeys((half, name) for row in found for half, names in row.starts.items() for name in names)
    with np.errstate(all="ignore"):  # where nothing is left of a gradient
        first, largest, recent = (np.array([getattr(row, name)[0] for row in found])
                                  for name in ("first", "largest", "recent"))  # fmt: skip
        states = {f"{half}.{name}": float(np.min([row.state(half, name)[0] for row in found if half in row.starts]))
                  for half, name in named}  # fmt: skip
        best = {half: np.array([row.best(half)[0] for row in found if half in row.starts]) for half, _ in named}
    return Memory(case.steps, float(first.min()), float(largest.max()), float(recent.min()), states,
                  {half: (float(a.min()), float(a.max())) for half, a in best.items()}, unread(case))  # fmt: skip


def unread(case: Case) -> tuple[str, ...]:
    """The halves whose initial states do not reach the output or the states of one step, in a row at least."""
    given = tree_map(lambda a: a[None], case.arrays().params)
    found = rows(case, given, 1)
    halves = dict.fromkeys(half for row in found for half in row.starts)
    reached = {half: all(any(np.any(a) for a in row.starts[half].values()) for row in found if half in row.starts)
               for half in halves}  # fmt: skip
    return tuple(half for half in halves if not reached[half])


def rows(case: Case, params: Tree, steps: int) -> list[Row]:
    """What the ends of all rows depend on, of the first `steps` steps, for candidates in the parameters' first axis.

    There are two of each row that has a step for each direction of the network: one ends in an output, the other in
    final states.
    """
    given, ends = case.arrays(), np.minimum(case.ends, steps)
    directions = [d for d in ("forward", "reverse") if any(d in layer.halves for layer in case.net.layers)]
    kinds = [(direction, what) for direction in directions for what in ("output", "states")]
    batch, count = case.batch, len(kinds)
    rounding = Rounding(Arithmetic())
    rounding.runs = next((len(a) for _, a in leaves(params)), 1)
    with np.errstate(all="ignore"), uninterrupted():
        found = forward(rounding, case.net, params, np.tile(given.inputs[:steps], (1, count, 1)),
                        tree_map(lambda s: np.tile(s, (count, *[1] * (s.ndim - 1))), given.state),
                        np.tile(ends, count), np.zeros((steps, count * batch), bool), recording=True)  # fmt: skip
        seeds = [(found.outputs, _of_outputs(case, given.output_cotangent, ends, kinds, steps))]
        named = dict(leaves(given.state_cotangent))
        for place, number in leaves(found.final):
            seeds.append((number, _of_states(named[place], place.split(".")[1], kinds, number.value.shape)))
        found.tape.pull_back([(number, np.repeat(seed, rounding.runs, 0)) for number, seed in seeds])
        assert found.inputs is not None
        sizes = np.sqrt(np.mean(found.inputs.gradient().reshape(rounding.runs, steps, count * batch, -1) ** 2, -1))
        states = named_map(lambda _, number: np.sqrt(np.mean(number.gradient() ** 2, -1)), found.state)
    return [_row(sizes, states, kind, i * batch + row, int(ends[row]))
            for i, (kind, _) in enumerate(kinds) for row in range(batch) if ends[row]]  # fmt: skip


def _row(sizes: Array, states: Tree, direction: str, row: int, end: int) -> Row:
    line = sizes[:, :end, row] if direction == "forward" else sizes[:, :end, row][:, ::-1]
    starts = {f"{i}.{direction}": {name: a[:, row] for name, a in halves[direction].items()}
              for i, halves in enumerate(states) if halves.get(direction)}  # fmt: skip
    return Row(line, starts)


def _of_outputs(case: Case, cotangent: Array, ends: Array, kinds: list[tuple[str, str]], steps: int) -> Array:
    """One output of each row that ends in an output: the last, or the first where the reverse half ends."""
    found = np.zeros((steps, len(kinds), case.batch, case.net.features))
    for i, (direction, what) in enumerate(kinds):
        for row, end in enumerate(ends):
            if what == "output" and end:
                at = end - 1 if direction == "forward" else 0
                found[at, i, row] = cotangent[at, row]
    return found.reshape(1, -1, case.net.features)


def _of_states(cotangent: Array, half: str, kinds: list[tuple[str, str]], shape: tuple[int, ...]) -> Array:
    """The final states of a half, in the rows that end in them."""
    found = [cotangent * (what == "states" and half == direction) for direction, what in kinds]
    return np.concatenate(found).reshape(1, *shape[1:])
