"""The diagnosis: which kinds of faults a failing report looks like.

Each known fault is one example of its kind. How often does a new fault of that kind show a sign? About as often as the
example does, as all faults of the kind do, and as all faults do: the mean of the three, by the weights below. The
product over all signs is the likelihood of the example, and the mean over its examples is the likelihood of the kind.

Signs hang together, so that such a product is far too sure of itself: all laws together count as if they were no more
than `CREDIT`. Signs beside laws count once half of the known faults were asked for them. All kinds are equally likely
beforehand. A kind is named only where one of its faults fails a good part of the laws that fail here; a law counts the
more, the fewer faults fail it. Where none does, the report says so.

>>> [likeness.kind for likeness in diagnose([])]
[]
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from conformance.findings.finding import BAD
from conformance.findings.kinds import KINDS
from conformance.findings.known import Known, read
from conformance.findings.signs import SIGNS, signs

__all__ = ["UNLIKE", "Likeness", "diagnose", "diagnosed", "resembled"]

JUDGED = ("pass", *BAD)
FEWEST = 12
"""The fewest laws whose pattern means something."""
MOST = 3
"""The most kinds that are named."""
LIKELY, POSSIBLE = 0.5, 0.01
"""The probabilities from which on a kind is likely, and from which on it is named."""
OF_KIND, OF_ALL = 0.15, 0.05
"""The weights of the kind's faults and of all faults, where that of the example is 1."""
CREDIT = 28
"""How many independent laws all of them are worth."""
LEAST = 1e-3
"""The least probability of a sign, and of its absence."""
COMMON = 1 / 3
"""The least part of the failing laws that a fault must fail too, for its kind to be named."""

Rates = Mapping[str, float]
"""How often faults show each sign."""


@dataclass(frozen=True)
class Likeness:
    """A kind of faults that a report looks like.

    `says` is the kind in words; `sure` is "likely" or "possible". `law` is the failing law that speaks most for it,
    `fault` the most similar known fault of the kind, and `example` what that fault does; both are empty where all are
    faults of other cells than the one that fails.
    """

    kind: str
    says: str
    sure: str
    probability: float
    law: str = ""
    fault: str = ""
    example: str = ""


UNLIKE = Likeness("", "unlike any known fault", "unlike", 0.0)


def diagnose(findings: Sequence[Mapping[str, Any]], known: Collection[Known] | None = None) -> list[Likeness]:
    """The likeliest kinds, best first; `UNLIKE` where none fits; nothing where no law fails, or too few are judged."""
    return resembled(signs(findings), {f["id"] for f in findings if f["status"] in JUDGED}, known)


def resembled(
    shown: Collection[str], laws: Collection[str], known: Collection[Known] | None = None
) -> list[Likeness]:
    """The same for signs that are shown, and the laws that are judged."""
    faults = [fault for fault in (read() if known is None else known) if fault.kind in KINDS and fault.laws]
    if not shown or not faults or len(laws) < FEWEST:
        return []
    by_kind = {kind: [f for f in faults if f.kind == kind] for kind in KINDS}
    others = (sign for sign in SIGNS if 2 * sum(sign in fault.asked for fault in faults) >= len(faults))
    rates = _rates(faults, (*laws, *others))
    found = [_Kind(kind, some, shown, rates) for kind, some in by_kind.items() if some]
    return _named(found, shown)


def diagnosed(entry: dict[str, Any]) -> dict[str, Any]:
    """A backend's entry of the report with the kinds of faults that it looks like."""
    return entry | {"looks_like": [asdict(likeness) for likeness in diagnose(entry["properties"])]}


class _Kind:
    """How well the signs fit a kind, by its faults."""

    def __init__(self, name: str, faults: Sequence[Known], shown: Collection[str], of_all: Rates) -> None:
        self.name, self.of_all = name, of_all
        self.rates = _rates(faults, of_all, of_all)
        fits = [_fit(shown, self._rates_like(fault)) for fault in faults]
        self.common = max(_common(shown, fault, of_all) for fault in faults)
        self.fit = max(fits) + math.log(sum(math.exp(fit - max(fits)) for fit in fits) / len(fits))
        can_be = [(fit, fault) for fit, fault in zip(fits, faults, strict=True) if _can_be(fault, shown)]
        self.nearest = max(can_be, key=lambda pair: pair[0], default=(0.0, None))[1]

    def speaks(self, law: str) -> float:
        """How much more often the kind fails a law than faults at large."""
        return self.rates[law] / self.of_all[law]

    def _rates_like(self, fault: Known) -> Rates:
        def rate(sign: str) -> float:
            shared = OF_KIND * self.rates[sign] + OF_ALL * self.of_all[sign]
            own = 1.0 if sign in fault.asked else 0.0
            return (own * (sign in fault.shows) + shared) / (own + OF_KIND + OF_ALL)

        return {sign: rate(sign) for sign in self.of_all}


def _can_be(fault: Known, shown: Collection[str]) -> bool:
    """Whether the failures are not those of one other cell."""
    return not fault.cell or "on one cell" not in shown or f"on {fault.cell}" in shown


def _rates(faults: Iterable[Known], signs: Iterable[str], of_all: Rates | None = None) -> Rates:
    """How often the faults show each sign; a few of them lean on the rates of all."""
    found = {}
    for sign in signs:
        asked = [sign in fault.shows for fault in faults if sign in fault.asked]
        lean, weight = (of_all[sign], 2.0) if of_all else (0.5, 1.0)
        found[sign] = (sum(asked) + weight * lean) / (len(asked) + weight)
    return found


def _fit(shown: Collection[str], rates: Rates) -> float:
    """The logarithm of the likelihood of these signs, and of the absence of the others."""
    odds = (rate if sign in shown else 1 - rate for sign, rate in rates.items())
    credit = min(1.0, CREDIT / len(rates.keys() - {*SIGNS}))
    return credit * sum(math.log(min(max(p, LEAST), 1 - LEAST)) for p in odds)


def _common(shown: Collection[str], fault: Known, of_all: Rates) -> float:
    """The part of the failing laws that a fault fails too, of those that it was asked for."""
    laws = {*shown} & of_all.keys() & fault.asked - {*SIGNS}
    whole = sum(-math.log(of_all[law]) for law in laws)
    return sum(-math.log(of_all[law]) for law in laws & fault.shows) / whole if whole else 0.0


def _named(kinds: Sequence[_Kind], shown: Collection[str]) -> list[Likeness]:
    """The likeliest kinds with their probabilities."""
    best = max(kind.fit for kind in kinds)
    whole = sum(math.exp(kind.fit - best) for kind in kinds)
    likely = [(math.exp(kind.fit - best) / whole, kind) for kind in sorted(kinds, key=lambda kind: -kind.fit)]
    found = [(p, kind) for p, kind in likely if p >= POSSIBLE and kind.common >= COMMON]
    return [_likeness(kind, p, shown) for p, kind in found[:MOST]] or [UNLIKE]


def _likeness(kind: _Kind, probability: float, shown: Collection[str]) -> Likeness:
    law = max(sorted({*shown} & kind.rates.keys() - {*SIGNS}), key=kind.speaks)
    fault, example = (kind.nearest.name, kind.nearest.says) if kind.nearest else ("", "")
    sure = "likely" if probability >= LIKELY else "possible"
    return Likeness(kind.name, KINDS[kind.name], sure, round(probability, 3), law, fault, example)
