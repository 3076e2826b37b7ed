"""What the specification says of policies at their edges, at numbers that reach them exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import rnnspec
from conformance.tolerance import PROFILES
from rnnspec.control.rule import Rule
from rnnspec.policies import (
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByUnitNorm,
    ClipByValue,
    ClipStateByNorm,
    ClipStateByValue,
    Cut,
    ScaleLoss,
    SkipNonFinite,
    Truncated,
    ZeroNonFinite,
)
from tests.stress.exact import DESCENT, Got, Pair, chunks, held, moved, passed, pulled, raises, trained

NAN, INF = float("nan"), float("inf")
LARGE, SMALL = 2.0**100, 2.0**-100
"""Numbers of float32 whose squares are none: they overflow, or are 0. In float64 the squares are numbers."""
QUARTER = ClipByUnitNorm(0.25, 0.5)


@dataclass(frozen=True)
class Edge:
    """A sentence of the specification, how the number is got from a backend, and what it must be."""

    says: str
    got: Got
    wanted: Got

    def wrong(self, backend: rnnspec.Backend) -> str:
        """What is there instead, or nothing: a number may be off by some roundings, 0 and what is not finite not."""
        got, wanted = (np.asarray(side(backend), float) for side in (self.got, self.wanted))
        near = 8 * PROFILES[backend.precision].unit * np.abs(np.where(np.isfinite(wanted), wanted, 0.0))
        with np.errstate(invalid="ignore"):
            same = (got == wanted) | (np.isnan(got) & np.isnan(wanted)) | (np.abs(got - wanted) <= near)
        return "" if got.shape == wanted.shape and same.all() else f"got {got.tolist()}, expected {wanted.tolist()}"


def always(value: Any) -> Got:
    return lambda backend: value


def finite_square(backend: rnnspec.Backend) -> bool:
    """Whether the squares of `LARGE` and `SMALL` are numbers."""
    return backend.precision == "f64"


def norms(give: Callable[[float, Pair], Got], shape: Callable[[Pair], Any]) -> Iterator[Edge]:
    """What is said of every limit of a norm; `give(limit, g)` is what a vector becomes, `shape` how it is shown."""

    def edge(says: str, limit: float, g: Pair, wanted: Callable[[rnnspec.Backend], Pair]) -> Edge:
        return Edge(says, give(limit, g), lambda backend: shape(wanted(backend)))

    above, below = 1 + 2.0**-9, 1 - 2.0**-9
    yield edge("at the limit nothing is clipped", 5.0, (3.0, -4.0), always((3.0, -4.0)))
    yield edge("just below it nothing is", 5.0, (3 * below, 4 * below), always((3 * below, 4 * below)))
    yield edge("just above it the norm is the limit", 5.0, (3 * above, 4 * above), always((3.0, 4.0)))
    yield edge("far above it too", 5.0, (3 * 2.0**20, -4 * 2.0**20), always((3.0, -4.0)))
    yield edge("a norm of 0 changes nothing", 5.0, (0.0, 0.0), always((0.0, 0.0)))
    yield edge("0/0 is 0: a norm of 0 under the limit 0", 0.0, (0.0, 0.0), always((0.0, 0.0)))
    yield edge("the limit 0 makes zeros of all", 0.0, (3.0, -4.0), always((0.0, 0.0)))
    yield edge("an infinite limit changes nothing", INF, (3.0, -4.0), always((3.0, -4.0)))
    yield edge("there is no epsilon: small numbers stay", 5.0, (3 * SMALL, SMALL), always((3 * SMALL, SMALL)))
    yield edge("a norm that overflows is not finite", 5.0, (3 * LARGE, 4 * LARGE),
               lambda backend: (3.0, 4.0) if finite_square(backend) else (NAN, NAN))  # fmt: skip
    for value in (NAN, INF, -INF):
        for limit in (0.0, 5.0, INF):
            yield edge(f"{value} makes NaN of all, the limit being {limit}", limit, (1.0, value), always((NAN, NAN)))


def values(give: Callable[[float, Pair], Got], shape: Callable[[Pair], Any]) -> Iterator[Edge]:
    """What is said of every limit of an entry."""
    up = 1 + 2.0**-9

    def edge(says: str, limit: float, g: Pair, wanted: Pair) -> Edge:
        return Edge(says, give(limit, g), always(shape(wanted)))

    yield edge("an entry at the limit stays", 0.5, (0.5, -0.5), (0.5, -0.5))
    yield edge("one beyond it becomes the limit, the others stay", 0.5, (0.5 * up, -0.25), (0.5, -0.25))
    yield edge("so do infinite ones", 0.5, (INF, -INF), (0.5, -0.5))
    yield edge("NaN stays NaN, and alone", 0.5, (NAN, 2.0), (NAN, 0.5))
    yield edge("the limit 0 makes zeros", 0.0, (3.0, -INF), (0.0, 0.0))
    yield edge("0 stays 0 under the limit 0", 0.0, (0.0, -0.0), (0.0, 0.0))
    yield edge("an infinite limit changes nothing", INF, (3.0, -INF), (3.0, -INF))
    yield edge("large numbers become the limit", 0.5, (LARGE, -SMALL), (0.5, -SMALL))


def units() -> Iterator[Edge]:
    """A unit's limit is `ratio` times its weight's size, epsilon at least."""

    def edge(says: str, g: Pair, w: Pair, wanted: Pair, policy: Rule = QUARTER) -> Edge:
        return Edge(says, passed(policy, g, w), always(wanted))

    yield edge("at the limit nothing is clipped, just above it is", (0.5, 0.5 + 2.0**-9), (2.0, 2.0), (0.5, 0.5))
    yield edge("a weight of 0 has epsilon's limit", (0.125, 1.0), (0.0, 0.0), (0.125, 0.125))
    yield edge("one below epsilon too, one above it its own", (1.0, 1.0), (0.25, -4.0), (0.125, 1.0))
    yield edge("one of epsilon's size has epsilon's", (1.0, -1.0), (0.5, -0.5), (0.125, -0.125))
    yield edge("without epsilon a weight of 0 stays", (1.0, 0.0), (0.0, 0.0), (0.0, 0.0), ClipByUnitNorm(0.25, 0.0))
    yield edge("the ratio 0 makes zeros", (1.0, 0.0), (1.0, 1.0), (0.0, 0.0), ClipByUnitNorm(0.0, 0.5))
    yield edge("a unit is clipped by itself, NaN is its own", (NAN, 1.0), (0.0, 0.0), (NAN, 0.125))
    yield edge("an infinite norm makes NaN of the unit", (INF, 0.0625), (0.0, 0.0), (NAN, 0.0625))
    yield Edge("a norm that overflows is not finite", passed(QUARTER, (LARGE, -LARGE)),
               lambda backend: (0.125, -0.125) if finite_square(backend) else (NAN, NAN))  # fmt: skip
    yield edge("a weight's norm that overflows leaves the gradient", (0.0, 1.0), (LARGE, 4.0), (0.0, 1.0))


def guards() -> dict[str, tuple[Edge, ...]]:
    """What is finite: the largest number is, its square need not be."""
    skip, follow = SkipNonFinite(DESCENT), ScaleLoss(DESCENT, 8.0, interval=2)

    def scale(rule: ScaleLoss, g: Pair) -> Got:
        return lambda backend: trained(backend, rule, g).rule_state["scale"]

    return {
        "ZeroNonFinite": (
            Edge("NaN becomes 0, the other stays", passed(ZeroNonFinite(), (NAN, 2.0)), always((0.0, 2.0))),
            Edge("so do both infinities", passed(ZeroNonFinite(), (INF, -INF)), always((0.0, 0.0))),
            Edge("the largest numbers stay", passed(ZeroNonFinite(), (-LARGE, SMALL)), always((-LARGE, SMALL))),
        ),
        "RaiseNonFinite": tuple(
            Edge(f"{value} raises: {not np.isfinite(value)}", raises((1.0, value)), always(not np.isfinite(value)))
            for value in (NAN, INF, -INF, LARGE, 0.0)
        ),
        "SkipNonFinite": (
            *(Edge(f"{value} leaves the parameters", moved(skip, (1.0, value)), always((1.0, 1.0)))
              for value in (NAN, INF, -INF)),
            Edge("large numbers do not", moved(skip, (2.0, -LARGE), (0.0, 0.0)), always((-1.0, LARGE / 2))),
            Edge("nor does 0", moved(skip, (2.0, 0.0)), always((0.0, 1.0))),
        ),
        "ScaleLoss": (
            *(Edge(f"{value} halves the scale", scale(follow, (1.0, value)), always(4.0))
              for value in (NAN, INF, -INF)),
            Edge("and leaves the parameters", moved(follow, (1.0, NAN)), always((1.0, 1.0))),
            Edge("a finite step is no interval of two", scale(follow, (1.0, 1.0)), always(8.0)),
            Edge("an interval of one is", scale(ScaleLoss(DESCENT, 8.0, interval=1), (1.0, 1.0)), always(16.0)),
            Edge("the scale is at most 2^15", scale(ScaleLoss(DESCENT, interval=1), (1.0, 1.0)), always(2.0**15)),
            Edge("and at least 1", scale(ScaleLoss(DESCENT, 1.0, interval=1), (1.0, NAN)), always(1.0)),
            Edge("a scale that stays stays", scale(ScaleLoss(DESCENT, 8.0), (1.0, NAN)), always(8.0)),
            Edge("it is taken away again", moved(ScaleLoss(DESCENT, 8.0), (1.0, -3.0)), always((0.5, 2.5))),
        ),
    }  # fmt: skip


def reach(first: Callable[[int], int]) -> Any:
    """1 where a cotangent of 1 arrives; `first(n)` is the first step that a row of n steps sends it to."""
    found = np.zeros((8, 7))
    for row, steps in enumerate(range(1, 8)):
        found[1 + first(steps) : 1 + steps, row] = 1
        found[0, row] = first(steps) == 0
    return found


EDGES: dict[str, tuple[Edge, ...]] = {
    "ClipByValue": tuple(values(lambda limit, g: passed(ClipByValue(limit), g), lambda g: g)),
    "ClipByNorm": tuple(norms(lambda limit, g: passed(ClipByNorm(limit), g), lambda g: g)),
    "ClipByGlobalNorm": tuple(norms(lambda limit, g: passed(ClipByGlobalNorm(limit), g), lambda g: g)),
    "ClipByUnitNorm": tuple(units()),
    **guards(),
    "HoldSpectralNorm": (
        Edge("at the limit a map stays", held(-0.5, 0.5), always(-0.5)),
        Edge("above it its norm is the limit", held(-0.75, 0.5), always(-0.5)),
        Edge("a norm of 0 changes nothing", held(0.0, 0.5), always(0.0)),
        Edge("0/0 is 0", held(0.0, 0.0), always(0.0)),
        Edge("the limit 0 makes zeros", held(2.0, 0.0), always(0.0)),
    ),
    "Truncated": tuple(
        Edge(f"edges into the steps {k}, {2 * k}, ... are cut, initial ones not", chunks(Truncated(k)),
             always(reach(lambda steps, k=k: k * ((steps - 1) // k)))) for k in (1, 2, 3, 6, 7, 8)
    ),
    "Cut": (
        Edge("every edge is cut, initial ones not", chunks(Cut()), always(reach(lambda steps: steps - 1))),
        Edge("of the named states", chunks(Cut(("h",))), always(reach(lambda steps: steps - 1))),
        Edge("and of no other", chunks(Cut(("k",))), always(reach(lambda steps: 0))),
    ),
    "ClipStateByValue": (
        *values(lambda limit, g: pulled(ClipStateByValue(limit, ("h",)), g, (9.0, -9.0)), lambda g: [g, (9.0, -9.0)]),
    ),
    "ClipStateByNorm": (
        *norms(lambda limit, g: pulled(ClipStateByNorm(limit, ("h",)), g, (9.0, 12.0)), lambda g: [g, (9.0, 12.0)]),
        *norms(lambda limit, g: pulled(ClipStateByNorm(limit, joint=True), (g[0], 0.0), (0.0, g[1])),
               lambda g: [(g[0], NAN if np.isnan(g[0]) else 0.0), (NAN if np.isnan(g[1]) else 0.0, g[1])]),
    ),
}  # fmt: skip
