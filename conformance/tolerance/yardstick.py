"""The oracle's result for a case with its yardstick: the spread of its perturbed runs, element by element.

The perturbed runs differ from run 0 as correct results of the declared precision differ from the exact one: they are
the same calculation with other roundings. Their root mean square difference is tau. For float64 the oracle perturbs by
more than its own rounding and scales the spread back, since small errors are linear in the roundings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from conformance import oracle
from conformance.cases.case import Arrays, Case
from conformance.cases.kept import Kept
from conformance.cases.profile import Profile
from conformance.cases.shelf import SHELF
from conformance.oracle import Arithmetic
from conformance.oracle.number import uninterrupted
from conformance.tolerance.answers import named
from rnnspec.control.rule import Rule
from rnnspec.tree import Tree, leaves

__all__ = ["REFERENCES", "Reference", "pullback", "reference", "run", "train", "value_and_grad"]

REFERENCES = Kept(2**27)
"""The references of this process that may be asked again: when a case shrinks, or of another backend."""

RUNS = 8
"""The number of perturbed runs; four times as many where a ratio comes near the limit."""
MOST_EXTENDED_STEPS, MOST_EXTENDED_PRODUCTS = 16, 1 << 20
"""The most multiplications with 80-bit numbers, which take a hundred times as long."""
FINEST = 2.0**-40
"""The smallest perturbation that is clearly above the rounding of a float64 oracle."""
ILL_POSED = 0.1
"""The largest ratio of yardstick to tensor; beyond it, the case is ill-posed in the precision."""
UNDERFLOWS = 64
"""Except for tensors below this number of underflows: a vanished gradient is 0 within rounding."""


@dataclass(frozen=True)
class Reference:
    """The expected result: leaves by dotted name, each with runs as first axis; run 0 is exact.

    Names are those of the result's fields and trees: `outputs`, `state.0.forward.h`, `params.layers.0.forward.W.i`,
    `inputs`, `grads.inputs`, `loss_sum`. `untested` are the leaves that no result can be tested by, each with the
    reason; `whole` is the reason where it holds for all of them, or empty.
    `stretch` is tau over the spread of the runs; `again(runs)` returns a reference with so many runs, which this
    process calculates. A `shared` one comes from another process, and must not prove a fault.
    """

    profile: Profile
    leaves: dict[str, Any]
    whole: str
    untested: Mapping[str, str]
    stretch: float
    runs: int
    again: Callable[[int], Reference]
    shared: bool = False

    @cached_property
    def ill_posed(self) -> str:
        """The reason why nothing that is rounded can be tested, or empty."""
        if self.whole or not self.untested:
            return self.whole
        rounded = {name for name, tau in self.tau().items() if tau.any()}
        return self.doubt if self.untested.keys() >= rounded else ""

    @property
    def doubt(self) -> str:
        """The reason why some leaf cannot be tested, or empty."""
        return self.whole or next(iter(self.untested.values()), "")

    def at(self, name: str) -> Reference:
        """The part under a dotted name, such as `reference.at("state")`; names of its leaves lose that prefix."""
        def part(given: Mapping[str, Any]) -> dict[str, Any]:
            under = {key: a for key, a in given.items() if f"{key}.".startswith(f"{name}.")}
            return {key.removeprefix(name).removeprefix("."): a for key, a in under.items()}

        found = part(self.leaves)
        if not found and "state" not in name.split("."):  # cells without a state have no leaf there
            raise KeyError(f"no leaf under {name!r}, only {', '.join(self.leaves)}")
        return replace(self, leaves=found, untested=part(self.untested), again=lambda runs: self.again(runs).at(name))

    def plus(self, other: Reference) -> Reference:
        """The sum of two references with the same leaves and independent roundings, from different seeds."""
        leaves = {name: a + other.leaves[name] for name, a in self.leaves.items()}
        untested = {**other.untested, **self.untested}
        return replace(self, leaves=leaves, whole=self.whole or other.whole, untested=untested,
                       again=lambda runs: self.again(runs).plus(other.again(runs)),
                       shared=self.shared or other.shared)  # fmt: skip

    def own(self) -> Reference:
        """The same, calculated by this process."""
        return replace(self.again(self.runs), shared=False) if self.shared else self

    def refined(self) -> Reference:
        """The same with four times the runs."""
        return self.again(4 * self.runs)

    def expected(self) -> dict[str, Any]:
        """Run 0, leaf by leaf; a count is a number."""
        return {name: a if isinstance(a, int) else a[0] for name, a in self.leaves.items()}

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays, tau included."""
        return sum(a.nbytes + a[0].nbytes for a in self.leaves.values() if not isinstance(a, int))

    def tau(self) -> dict[str, Any]:
        """The yardstick, leaf by leaf; 0 where no operation rounds, as for an exact 0."""
        return self._tau

    @cached_property
    def _tau(self) -> dict[str, Any]:
        found = {}
        for name, a in self.leaves.items():
            if not isinstance(a, int):
                spread = self.stretch * _spread(a)
                found[name] = spread + self.profile.lost * (spread > 0)
        return found


def reference(
    profile: Profile, compute: Callable[[Arithmetic], Tree], seed: int = 0, runs: int = RUNS, dtype: Any = np.float64,
    name: Callable[[], str] | None = None,
) -> Reference:
    """The reference of any calculation of the oracle; `compute(arithmetic)` returns its result in that arithmetic.

    One with a `name`, which tells it from all others, may come from another process.
    """
    grown = max(1.0, FINEST / profile.unit)
    arithmetic = Arithmetic(dtype, runs, profile.unit * grown, profile.accumulator * grown, profile.function,
                            profile.lost * grown, seed)

    def calculated() -> tuple[dict[str, Any], str, dict[str, str]]:
        with uninterrupted():
            leaves = dict(named(compute(arithmetic)))
        return leaves, _undefined(profile, leaves, arithmetic), _untested(profile, leaves, arithmetic)

    found, shared = SHELF.get(name, calculated) if name else (calculated(), False)
    both_round = np.finfo(dtype).eps > 1e-3 * profile.unit

    def again(more: int) -> Reference:
        return _kept((profile, compute, seed, more, dtype), lambda: reference(profile, compute, seed, more, dtype))

    return Reference(profile, *found, (np.sqrt(2.0) if both_round else 1.0) / grown, runs, again, shared)


def _spread(a: Any) -> Any:
    """The root mean square distance of the runs from run 0; 0 where run 0 is not finite."""
    with np.errstate(all="ignore"):
        away = np.abs(a[1:] - a[0])
        largest = away.max(0)
        scale = np.where(largest > 0, largest, 1.0)  # squares of small numbers would underflow
        found = scale * np.sqrt(np.mean((away / scale) ** 2, axis=0))
    return np.where(np.isfinite(a[0]), found, 0.0)


def _undefined(profile: Profile, leaves: dict[str, Any], arithmetic: Arithmetic) -> str:
    """The reason why the calculation as such has no answer in the precision, or empty."""
    if _undecided(profile, arithmetic) and arithmetic.unit > profile.unit:  # an outcome that turns is not scaled back
        return _undecided(profile, arithmetic)
    if arithmetic.kinks.largest > profile.largest / 16:
        return f"numbers up to {arithmetic.kinks.largest:.1e} come too near the largest of {profile.name}"
    turned = (name for name, a in leaves.items() if not isinstance(a, int) and _turns_an_infinity(a))
    return next((f"roundings of {profile.name} turn an infinity of {name}" for name in turned), "")


def _turns_an_infinity(a: Any) -> bool:
    """Whether a number that is none, or infinite, is another in some run."""
    same = (a[1:] == a[:1]) | (np.isnan(a[1:]) & np.isnan(a[:1]))
    return bool((~np.isfinite(a[:1]) & ~same).any())


def _untested(profile: Profile, leaves: dict[str, Any], arithmetic: Arithmetic) -> dict[str, str]:
    """The leaves that roundings move too far, each with the reason."""
    found = {}
    for name, a in leaves.items():
        if isinstance(a, int) or not a[0].size:
            continue
        spread, largest = _spread(a).max(), np.abs(np.where(np.isfinite(a[0]), a[0], 0.0)).max()
        if not spread <= ILL_POSED * largest + UNDERFLOWS * arithmetic.lost:
            found[name] = _undecided(profile, arithmetic) or (
                f"roundings of {profile.name} move {name} by {spread:.1e}, its largest number being {largest:.1e}"
            )
    return found


def _undecided(profile: Profile, arithmetic: Arithmetic) -> str:
    """What roundings may turn or make infinite, or empty."""
    kinks = arithmetic.kinks
    if kinks.poles:
        return f"roundings of {profile.name} may make {kinks.poles} divisors or arguments of a logarithm 0"
    return f"{kinks.near} conditions are too near to call in {profile.name}" if kinks.near else ""


def _dtype(case: Case, profile: Profile) -> Any:
    """The oracle's dtype: 80-bit numbers for every eighth case that is small and near the oracle's own rounding."""
    if profile.unit > 1e-12 or case.seed % 8 or case.steps > MOST_EXTENDED_STEPS:
        return np.float64
    numbers = sum(math.prod(shape) for _, shape in leaves(case.net.parameter_shapes()))
    return np.longdouble if case.steps * case.batch * numbers <= MOST_EXTENDED_PRODUCTS else np.float64


def _kept(key: Hashable, make: Callable[[], Reference]) -> Reference:
    return REFERENCES.get(key, make, lambda found: found.nbytes)


def _of(what: str, case: Case, profile: Profile, call: Callable[[Arrays, Arithmetic], Tree]) -> Reference:
    """The reference of a call with a case's arrays, which are drawn again if more runs need them."""
    def compute(arithmetic: Arithmetic) -> Tree:
        return call(case.arrays(profile.name), arithmetic)

    def calculated() -> Reference:
        return reference(profile, compute, case.seed, dtype=_dtype(case, profile),
                         name=lambda: f"{what} in {profile.name} of {case.code()}")  # fmt: skip

    return _kept((what, case, profile), calculated)


def run(case: Case, profile: Profile) -> Reference:
    """The expected result of `Backend.run`: `outputs`, `state`."""
    def call(a: Arrays, arithmetic: Arithmetic) -> Tree:
        return oracle.run(case.net, a.params, a.inputs, a.state, a.lengths, arithmetic, a.resets)

    return _of("run", case, profile, call)


def pullback(case: Case, profile: Profile) -> Reference:
    """The expected result of `Backend.pullback`: `params`, `inputs`, `state`."""
    def call(a: Arrays, arithmetic: Arithmetic) -> Tree:
        return oracle.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths,
                               arithmetic, a.resets)  # fmt: skip

    return _of("pullback", case, profile, call)


def value_and_grad(case: Case, profile: Profile) -> Reference:
    """The expected result of `Backend.value_and_grad`: `loss_sum`, `count`, `grads`, `state`."""
    def call(a: Arrays, arithmetic: Arithmetic) -> Tree:
        return oracle.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, a.lengths, arithmetic, a.resets)

    return _of("value_and_grad", case, profile, call)


def train(case: Case, rule: Rule, steps: int, profile: Profile) -> Reference:
    """The expected results of `steps` calls of `Backend.train_step`, each on one of `case.batches(steps)`.

    Names start with the number of the step: `9.params.output.W`.
    """
    def compute(arithmetic: Arithmetic) -> Tree:
        batches = case.batches(steps, profile.name)
        return oracle.train(case.net, rule, case.arrays(profile.name).params, batches, arithmetic)

    return _kept(("train", case, rule, steps, profile), lambda: reference(profile, compute, case.seed))
