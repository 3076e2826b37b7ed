"""A case: one call of a backend, from which all numbers follow; `code()` returns Python lines that rebuild it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum
from typing import Any

import numpy as np

from conformance.cases import source
from conformance.cases.gains import Gain, gained
from conformance.cases.kept import Kept
from conformance.cases.profile import PROFILES
from conformance.oracle import Batch
from rnnspec.embedding import Embedding
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["Arrays", "Case", "Planted", "Pull", "window"]


NO_CLASS = (-1, 2**31 - 1, 2**40)
"""What class numbers of inputs are at padded steps."""

LABELS = 5
"""The most labels of a row, for a loss that aligns them."""


class Pull(Enum):
    """The arrays whose cotangents are not zero."""

    BOTH = "outputs and final states"
    OUTPUTS = "outputs alone"
    STATES = "final states alone"
    ONE = "one element of the outputs"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Planted:
    """A value in all input features of one row at one step."""

    step: int
    row: int
    value: float


@dataclass(frozen=True)
class Arrays:
    """All numbers of a case, in one precision. `lengths` is None or int64 (batch,), `resets` None or (time, batch)."""

    params: Tree
    inputs: Any
    state: Tree
    lengths: Any
    output_cotangent: Any
    state_cotangent: Tree
    targets: Any
    resets: Any = None


@dataclass(frozen=True, repr=False)
class Case:
    """One case: a network, sizes, a seed, and options.

    `scale` is the scale of the weights, over the square root of the number of their inputs. `padding` is the value of
    inputs, cotangents and real targets after a row's end, where class numbers are none. No array is zero, constant or
    symmetric: each map has its own scale, and biases and states are drawn too. `lengths=None` calls without lengths.
    `targets` are None where the network has no loss. `resets` is the share of steps that are resets, drawn also after a
    row's end; None calls without resets. `gains` change the drawn parameters. The initial states of a `fresh` case are
    zeros, and an `unset` one is called without a state. With `one_sign` no input, map or cotangent is negative, so that
    sums of many terms are far larger than each of them.
    """

    net: Network
    steps: int
    batch: int
    lengths: tuple[int, ...] | None = None
    seed: int = 0
    scale: float = 1.0
    pull: Pull = Pull.BOTH
    padding: float = 0.0
    planted: tuple[Planted, ...] = ()
    resets: float | None = None
    gains: tuple[Gain, ...] = ()
    fresh: bool = False
    one_sign: bool = False
    unset: bool = False

    def __repr__(self) -> str:
        return self._written({})

    def code(self) -> str:
        """Lines of Python that rebuild this case, imports included; the last line assigns it to `case`."""
        names = source.declared(self.net)
        return "\n".join([*source.declarations(names), f"case = {self._written(names)}"])

    def _written(self, names: Mapping[Cell, str]) -> str:
        """The expression of the case, where some cells have names."""
        shown = [source.network(self.net, names), str(self.steps), str(self.batch)]
        shown += [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if f.default is not MISSING and getattr(self, f.name) != f.default
        ]
        return f"Case({', '.join(shown)})"

    def tested(self) -> Case:
        """The case that is tested where this one was drawn."""
        return self

    @property
    def ends(self) -> Any:
        """The end of each row: `lengths`, or the number of steps."""
        return np.full(self.batch, self.steps) if self.lengths is None else np.array(self.lengths, np.int64)

    @property
    def real(self) -> Any:
        """True at the real outputs: `(time, batch)`, or `(batch,)` with `Last()`."""
        if isinstance(self.net.read, Last):
            return self.ends * self.steps > 0
        return np.arange(self.steps)[:, None] < self.ends

    def arrays(self, precision: str = "f64") -> Arrays:
        """Copies of the arrays, rounded to a precision; a backend may write into them."""
        drawn = vars(DRAWN.get((self, precision), lambda: self.draw(precision), _bytes)).items()
        return Arrays(**{name: None if tree is None else tree_map(np.array, tree) for name, tree in drawn})

    def draw(self, precision: str) -> Arrays:
        """The result of `arrays`, drawn again."""
        lengths = None if self.lengths is None else self.ends
        state = self._states("state")
        begun = None if self.unset else tree_map(np.zeros_like, state) if self.fresh else state
        raw = Arrays(gained(self._params(), self.gains), self._inputs(), begun, None, self._output_cotangent(),
                     self._state_cotangent(), self._targets())  # fmt: skip
        drawn = {name: tree for name, tree in vars(raw).items() if tree is not None}
        rounded = {name: tree_map(PROFILES[precision].round, tree) for name, tree in drawn.items()}
        return replace(raw, **rounded, lengths=lengths, resets=self._resets())

    def batches(self, count: int, precision: str = "f64") -> list[Batch]:
        """`count` batches for training: the first is the case's own, the others have the same shape and lengths."""
        drawn = [replace(self, seed=self.seed + 7919 * i).arrays(precision) for i in range(count)]
        return [(a.inputs, a.targets, a.state, a.lengths, *(() if a.resets is None else (a.resets,))) for a in drawn]

    def _draw(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _signed(self, a: Any) -> Any:
        return np.abs(a) if self.one_sign else a

    def _params(self) -> Tree:
        shapes = self.net.parameter_shapes()

        def half(place: str, kinds: dict[str, Any]) -> Tree:
            return {kind: self._maps(f"{place}.{kind}", maps) for kind, maps in kinds.items()}

        def stack(before: str, layers: list[Tree]) -> list[Tree]:
            return [{name: half(f"{before}{i}.{name}", kinds) for name, kinds in halves.items()}
                    for i, halves in enumerate(layers)]  # fmt: skip

        drawn: dict[str, Any] = {"layers": stack("", shapes["layers"])}
        drawn |= {"head": stack("head.", shapes["head"])} if self.net.head else {}
        return drawn | {place: self._maps(place, maps) for place, maps in shapes.items() if place not in drawn}

    def _maps(self, place: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Uniform numbers with another largest value in each map, so that a swap of maps shows at any size."""
        found = {}
        for i, (name, shape) in enumerate(sorted(shapes.items())):
            bound = (self.scale / np.sqrt(shape[-1]) if len(shape) > 1 else 0.8) * (0.7 + 0.6 * (i + 1) / len(shapes))
            rng = self._draw(f"{place}.{name}")
            signs = self._signed(rng.choice([-1.0, 1.0], shape))
            found[name] = bound * signs * rng.uniform(0.05, 1.0, shape)
        return found

    def _states(self, what: str) -> Tree:
        return [
            {half: {name: self._draw(f"{what}.{i}.{half}.{name}").normal(size=(self.batch, *shape)) * 0.7
                    for name, shape in layer.state_shapes.items()} for half in layer.halves}
            for i, layer in enumerate(self.net.layers)
        ]  # fmt: skip

    def _inputs(self) -> Any:
        padded = np.arange(self.steps)[:, None] >= self.ends
        if isinstance(self.net.inputs, Embedding):
            drawn = self._draw("inputs").integers(0, self.net.inputs.classes, (self.steps, self.batch))
            return np.where(padded, NO_CLASS[self.seed % len(NO_CLASS)], drawn)
        x = self._signed(self._draw("inputs").normal(size=(self.steps, self.batch, self.net.inputs)))
        for planted in self.planted:
            x[planted.step, planted.row] = planted.value
        x[padded] = self.padding
        return x

    def _resets(self) -> Any:
        """Resets in every row, more in some than in others: of three rows one has them at most of its steps."""
        if self.resets is None:
            return None
        share = np.where(np.arange(self.batch) % 3 == self.seed % 3, 0.8, self.resets)
        return self._draw("resets").random((self.steps, self.batch)) < share

    def _output_cotangent(self) -> Any:
        real = self.real
        found = self._signed(self._draw("output cotangent").normal(size=(*real.shape, self.net.features)))
        if self.pull is Pull.STATES:
            found *= 0.0
        if self.pull is Pull.ONE and real.any():
            rng = self._draw("one element")
            place = (*rng.choice(np.argwhere(real)), rng.integers(self.net.features))
            one = np.zeros_like(found)
            one[place] = found[place]
            found = one
        found[~real] = self.padding
        return found

    def _state_cotangent(self) -> Tree:
        drawn = self._states("state cotangent")
        return drawn if self.pull in (Pull.BOTH, Pull.STATES) else tree_map(np.zeros_like, drawn)

    def _targets(self) -> Any:
        if self.net.loss is None:
            return None
        if self.net.loss.aligned:
            return self._labels()
        real, rng = self.real, self._draw("targets")
        if self.net.loss.integer_targets:
            return np.where(real, rng.integers(0, self.net.features, real.shape), -1)
        found = np.clip(rng.uniform(-0.2, 1.2, size=(*real.shape, self.net.features)), 0.0, 1.0)
        found[~real] = self.padding
        return found


    def _labels(self) -> Any:
        """Up to `LABELS` classes other than blank for each row, as many as fit its steps, and -1 after them."""
        rng, found = self._draw("targets"), np.full((self.batch, LABELS), -1)
        classes = [c for c in range(self.net.features) if c != getattr(self.net.loss, "blank", None)]
        for row, end in zip(found, self.ends, strict=True):
            labels = rng.choice(classes, rng.integers(0, min(LABELS, end) + 1))
            while len(labels) + int((labels[1:] == labels[:-1]).sum()) > end:
                labels = labels[:-1]
            row[: len(labels)] = labels
        return found


DRAWN = Kept(2**26)
"""The arrays of the last cases: a law, its reference and its reproducer use the same numbers."""


def _bytes(arrays: Arrays) -> int:
    return sum(np.asarray(a).nbytes for tree in vars(arrays).values() for _, a in leaves(tree))


def window(array: Any, lengths: Any, start: int, stop: int) -> tuple[Any, Any]:
    """The steps start..stop of a `(time, batch, ...)` array at the same padded shape, and the rows' lengths in them.

    A compiled program runs it without a new compilation: the steps are moved to the front, and zeros follow. `lengths`
    None means full rows.
    """
    steps, batch = array.shape[:2]
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    found = np.zeros_like(array)
    found[: stop - start] = array[start:stop]
    return found, np.clip(ends - start, 0, stop - start)
