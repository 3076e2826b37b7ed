"""Faults that the kill matrix has not seen: each is a backend with one mistake that people make, and its true kind.

They are kept apart from `conformance.mutants`, so that no self-test reads them. `unseen.faults()` lists them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.mutants.faulty import Faulty, protocol_mutants
from rnnspec import Mutant
from unseen import arguments, cells, directions, gradients, noise, numbers, padding, parts, states, training, workers

__all__ = ["Unseen", "faults"]

MODULES = (cells, states, directions, padding, gradients, training, arguments, numbers, parts, noise, workers)


@dataclass(frozen=True)
class Unseen:
    """A fault with its true kind, one of `conformance.findings.kinds.KINDS`.

    `open` says whether it may be looked at while the diagnosis is improved; the others are measured only.
    """

    mutant: Mutant
    kind: str
    open: bool


def faults() -> Iterator[Unseen]:
    """All of them; of every kind, each other one is open."""
    seen: dict[str, int] = {}
    for module in MODULES:
        kinds = {inspect.cleandoc(found.__doc__ or ""): found.kind for found in vars(module).values() if _is(found)}
        for mutant in protocol_mutants(module):
            kind = kinds[mutant.says]
            seen[kind] = seen.get(kind, 0) + 1
            yield Unseen(mutant, kind, seen[kind] % 2 == 1)


def _is(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, Faulty) and hasattr(found, "kind")
