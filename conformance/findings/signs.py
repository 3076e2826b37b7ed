"""The signs of a fault in a report: which laws fail, on which networks, where the worst errors are, and of what size.

A sign is a word: the id of a law that fails, or a word of `SIGNS`; and "on lstm", where that is the only cell that
fails.

>>> sorted(signs([{"id": "P32", "status": "fail", "labels": {"lstm": "fail", "lstm, without lengths": "pass"},
...                "evidence": {"what": "padded outputs", "where": "[0, 0]", "got": "nan", "kappa": None}}]))
['P32', 'at outputs', 'in NaN', 'mostly outputs', 'on lstm', 'on one cell', 'with lengths only']
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.cases import CELLS
from conformance.findings.finding import BAD

__all__ = ["SIGNS", "signs"]

PLACES = {
    "input maps": r"\bW\.\w", "recurrent maps": r"\bU\.\w", "biases": r"\bb\.\w", "vectors": r"\bp\.\w",
    "output layer": r"\boutput\.[Wb]", "rule": r"rule_state|\bupdate|\bby [A-Z]\w+\(", "loss": r"\bloss|\bcount\b",
    "inputs": r"\binputs\b", "outputs": r"\boutputs?\b", "state gradients": r"(pull|grad).*(\bstate|\b\d\.\w+\.\w+\[)",
    "states": r"\bstate|\b\d\.\w+\.\w+\[",
}  # fmt: skip
"""Where an error can be, by what its evidence says; the first that fits."""

FINE = 1e4
"""The error, in yardsticks, below which it is one of rounding rather than of a formula."""

SIGNS = (*(f"{how} {place}" for place in PLACES for how in ("at", "mostly")), "in NaN", "by exception", "fine",
         "with lengths only", "on large networks only", "on deep networks only", "on one cell",
         "everywhere")  # fmt: skip
"""The signs beside the laws that fail."""


def signs(findings: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """All signs of a report's findings; none where nothing fails."""
    failing = [f for f in findings if f["status"] in BAD]
    if not failing:
        return frozenset()
    laws = (f["id"] for f in failing)
    return frozenset((*laws, *_places(failing), *_errors(failing), *_networks(failing)))


def _places(failing: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    found = Counter(filter(None, (_place(f["evidence"]) for f in failing if f.get("evidence"))))
    yield from (f"at {place}" for place in found)
    yield from (f"mostly {place}" for place, count in found.items() if 2 * count > found.total())


def _place(evidence: Mapping[str, Any]) -> str:
    text = f"{evidence['what']} {evidence['where']}"
    return next((place for place, pattern in PLACES.items() if re.search(pattern, text)), "")


def _errors(failing: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    found = [f["evidence"] for f in failing if f.get("evidence")]
    kappas = [e["kappa"] for e in found if e["kappa"] is not None]
    if any("nan" in str(e["got"]) for e in found):
        yield "in NaN"
    if any(f["status"] == "error" for f in failing):
        yield "by exception"
    if kappas and max(kappas) < FINE:
        yield "fine"


def _networks(failing: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    labels = [(label, status in BAD) for f in failing for label, status in f["labels"].items()]
    bad = [label for label, fails in labels if fails]
    alone = {label.partition(",")[0] for label in bad} & CELLS.keys()
    if any("without" in label for label, _ in labels) and not any("without" in label for label in bad):
        yield "with lengths only"
    if bad and all(label[:1].isdigit() for label in bad):
        yield "on large networks only"
    if bad and not alone and any(label.partition(",")[0] in CELLS for label, _ in labels):
        yield "on deep networks only"
    if len(alone) == 1:
        yield from ("on one cell", f"on {min(alone)}")
    if len(bad) > 0.8 * len(labels):
        yield "everywhere"
