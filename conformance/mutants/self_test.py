"""The self-test: some property must detect every mutant, or a proof must show that the mutant is correct.

What an earlier self-test found is tried first: the property that detected a mutant, on the same network. Then
properties are tried from those that need no oracle to those that do, on the networks that a mutant can touch, with two
examples each; what survives them is tried once more with six.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from conformance.cases import CELLS
from conformance.mutants.census import mutants
from conformance.mutants.matrix import completed, signatures
from conformance.mutants.trial import Reference, killed_by, labels, strategies
from conformance.registry import Property, properties
from rnnspec import Mutant

__all__ = ["Kill", "Reference", "kill", "killed_by", "self_test"]

EAGER = ("P140", "P141", "P154", "P47", "P29", "P31", "P80", "P81", "P82", "P83", "P86", "P87", "P88", "P88-long",
         "P89", "P112", "P172", "P194", "P182", "P183", "P184", "P188", "P203", "P208")  # fmt: skip
"""Need no oracle, but do not run where a network, shape or rule costs a program; tried after those that detect most."""
FIRST = ("P15", "P11", "P26", "P12", "P03", "P04", "P44", "P42", "P46", "P48")
"""Detect most, and are cheap."""


DEPTHS = (2, 6)


@dataclass(frozen=True)
class Kill:
    """Which property detected a mutant, on which network; by an exception if `raised`."""

    law: str
    label: str
    oracle: bool
    raised: bool


def self_test(known: Mapping[str, Any] | None = None, processes: int | None = None) -> dict[str, Any]:
    """The section `self_test` of the report; `known` is that of an earlier one, which saves the search.

    `oracle_free` counts mutants killed without the oracle, `oracle_free_everywhere` those by properties that run on
    backends that compile, too. `kills` has the property and the network that detected each mutant, `killers` counts
    them by property, `laws` names a mutant that each property detects. `matrix` has every property that detects each
    mutant, and `signatures` counts its different rows.
    """
    begun, workers = time.perf_counter(), processes or os.cpu_count() or 1
    found, places, known = mutants(), range(workers), known or {}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_kills, places, [workers] * workers, [known.get("kills", {})] * workers))
        kills: dict[int, Kill | None] = {place: kill for part in parts for place, kill in part}
        victims = {kill.law: found[place].name for place, kill in sorted(kills.items(), reverse=True) if kill}
        idle = [law.id for law in properties() if law.id not in victims]
        likely = [known.get("laws", {}).get(law, "") for law in idle]
        victims |= dict(zip(idle, pool.map(_victim, idle, likely), strict=True))
        rows = signatures(tuple(chain.from_iterable(pool.map(completed, places, [workers] * workers))))
    equivalent = [{"name": m.name, "why": why} for m in found if (why := getattr(m, "twin", ""))]
    dead = [kill for kill in kills.values() if kill is not None]
    survivors = [{"name": found[place].name, "why": found[place].says} for place, kill in kills.items() if kill is None]
    free = [kill for kill in dead if not kill.oracle]
    return {
        "mutants": len(found), "killed": len(dead), "equivalent": equivalent, "survivors": survivors,
        "oracle_free": len(free), "oracle_free_everywhere": sum(kill.law not in EAGER for kill in free),
        "by_an_exception": sum(kill.raised for kill in dead),
        "kills": {found[place].name: [kill.law, kill.label] for place, kill in sorted(kills.items()) if kill},
        "killers": dict(sorted(Counter(kill.law for kill in dead).items())),
        "laws": dict(sorted(victims.items())), "matrix": rows,
        "signatures": len({fault["told_by"] for fault in rows["faults"]}),
        "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip


def kill(
    mutant: Mutant, laws: Iterable[Property] | None = None, depths: Sequence[int] = DEPTHS,
    known: Sequence[str] | None = None,
) -> Kill | None:
    """The first property that detects a mutant, None if it survives all; `known`, one with its network, goes before."""
    backend = mutant.make(Reference())
    cells = backend.capabilities.cells
    first = [p for p in properties() if known and p.id == known[0] and known[1] in strategies(p.id, cells)]
    tried = [(law, known[1], examples) for law in first if known for examples in depths]
    rest = ((law, label, examples) for examples in depths for law in laws or _ordered()
            for label in labels(law, mutant, cells))  # fmt: skip
    for law, label, examples in chain(tried, rest):
        how = killed_by(backend, law, label, examples)
        if how is not None:
            return Kill(law.id, label, law.oracle, how == "error")
    return None


def _kills(place: int, places: int, known: Mapping[str, Sequence[str]]) -> list[tuple[int, Kill | None]]:
    """Every so manieth mutant's kill, of those that are not proved equivalent."""
    chosen = [(i, m) for i, m in enumerate(mutants()) if i % places == place and not getattr(m, "twin", "")]
    return [(i, kill(m, known=known.get(m.name))) for i, m in chosen]


def _victim(law: str, likely: str) -> str:
    """A mutant that a property detects, by name, the likely one tried first; nothing if it detects none of those of the
    protocol and of two cells.
    """
    chosen = [p for p in properties() if p.id == law]
    tried = [m for m in mutants() if getattr(m, "cell", None) in (None, CELLS["lstm"], CELLS["gru"])]
    ordered = sorted(tried, key=lambda m: m.name != likely)
    return next((m.name for m in ordered if kill(m, chosen, DEPTHS[:1]) is not None), "")


@cache
def _ordered() -> tuple[Property, ...]:
    def rank(law: Property) -> tuple[Any, ...]:
        early = (*FIRST, *EAGER).index(law.id) if law.id in (*FIRST, *EAGER) else len(FIRST + EAGER)
        return law.oracle, early, law.id

    return tuple(sorted(properties(), key=rank))
