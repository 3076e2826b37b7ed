"""Writes a page for each law of the conformance suite, and the index of them all.

    python docs/law_pages.py

The texts are those of `conformance.statements`; the fault on each page is one that the law detected in the last
self-test. The tests fail where a page is not what this would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tables.markdown import table

from conformance.mutants import mutants
from conformance.registry import Property, properties
from conformance.statements import THEMES
from rnnspec import Mutant

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "laws"
SELF_TEST = ROOT / "docs" / "figures" / "self-test.json"

NODE = re.compile(r"^In the .*, \w+ \d+ of ")
"""How the sentence of a mutant names a node of a cell's graph."""

NAMED = "The name of a node gives its operation, its number in the cell's graph and its operands."

GENERATORS = {"adjoint": "gradients", "schedule": "loop"}
"""The modules that generate mutants of a cell, by the word in brackets; all others are of its equations."""


TELLING = {
    "P01": "numbers: fast tanh",
    "P02": "cotangents: one state not carried",
    "P03": "cotangents: clipped in secret",
    "P04": "cotangents: averaged over rows",
    "P07": "numbers: nondeterministic",
    "P10": "reach: nothing reaches a step",
    "P12": "cotangents: of final state ignored",
    "P13": "states: final exchanged",
    "P16": "lstm: the forward loop reads input g of the step after (schedule)",
    "P21": "steps: reverse turns padding",
    "P22": "states: reverse starts as forward",
    "P23": "states: reverse starts as forward",
    "P25": "lengths: never sorted back",
    "P26": "memory: rows mixed",
    "P27": "memory: gradients accumulate",
    "P30": "lengths: multiplied away",
    "P33": "states: final of rolled rows",
    "P36": "states: rows of length zero forgotten",
    "P42": "states: final exchanged",
    "P44": "numbers: outputs have a floor",
    "P45": "extents: inputs held within hundred",
    "P46": "lstm_peephole: add 22 of multiply and multiply keeps its first term only (both)",
    "P47": "elman: add 3 of h and h subtracts its second term (both)",
    "P48": "cotangents: of biases missing",
    "P60": "rules: global norm with epsilon",
    "P87": "cotangents: recurrent maps miss first step",
    "P91": "alignments: best spelling only",
}
"""Faults that explain a law better than the one that the fewest laws detect."""


def pages() -> dict[str, str]:
    """The text of every page, by the name of its file."""
    return {"index.md": _index()} | {f"{law.id}.md": _page(law) for law in properties()}


def write() -> None:
    """Write all pages, and remove those of laws that no longer exist."""
    PAGES.mkdir(exist_ok=True)
    written = pages()
    for name, text in written.items():
        (PAGES / name).write_text(text)
    for stale in {page.name for page in PAGES.glob("*.md")} - written.keys():
        (PAGES / stale).unlink()


def _index() -> str:
    parts = [
        "# The laws",
        f"The conformance suite has {len(properties())} laws. A law is one sentence that holds for every correct "
        "backend, and a check that fails where it does not hold. The page of a law says what a failure means and what "
        "to look at first. The [glossary](../glossary.md) defines the words. The oracle is the reference "
        "implementation: plain loops over the equations, in float64. [Conformance](../conformance.md) describes how "
        "the suite runs the laws.",
    ]
    for theme in THEMES:
        rows = ((f"[{s.id}]({s.id}.md)", s.name, s.says) for s in theme.statements)
        parts += [f"## {theme.title}", theme.says, "\n".join(table(("id", "law", "says"), rows))]
    return "\n\n".join(parts) + "\n"


def _page(law: Property) -> str:
    source = f"{law.check.__module__.replace('.', '/')}.py"
    return "\n\n".join((
        f"# {law.name[0].upper()}{law.name[1:]}",
        f"**{law.id}.** {law.says}",
        f"## What a failure means\n\n{law.statement.failure}",
        f"## What to look at first\n\n{law.statement.first}",
        f"## A fault that it detects\n\n{_fault(law)}",
        f"## What it needs\n\n{' '.join(_needs(law))}",
        f"## How to run it\n\n```\npython -m conformance --backend NAME --no-speed --only {law.id}\n```",
        f"The check is the function `{law.check.__name__}` in [{source}](../../{source}). All laws are in the "
        "[index](index.md), and the [glossary](../glossary.md) defines the words.",
    )) + "\n"  # fmt: skip


def _needs(law: Property) -> Iterator[str]:
    if law.oracle:
        yield "The check compares the backend with the oracle, the reference implementation."
    else:
        yield "The check compares the backend's answers with one another, or with numbers that the law itself fixes."
    required = sorted(law.needs - {"lengths"})
    if required:
        yield f"The law has the status `unsupported` if the backend lacks the capability {_listed(required, 'or')}."
    if "lengths" in law.needs:
        yield "If the backend lacks the capability `lengths`, the check uses full rows only."
    if law.also:
        them = "them" if len(law.also) > 1 else "it"
        yield f"The check also tests {_listed(sorted(law.also))}, if the backend declares {them}."


def _listed(names: list[str], joint: str = "and") -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} {joint} {last}" if first else last


def _fault(law: Property) -> str:
    found = detected()[law.id]
    mutant = _mutants()[min(found, key=lambda name: (name != TELLING.get(law.id), *_distance(name, found[name])))]
    source = _source(mutant)
    named = f" {NAMED}" if NODE.search(mutant.says) else ""
    return f"{mutant.says} This is the mutant `{mutant.name}` in [{source}](../../{source}).{named}"


def _source(mutant: Mutant) -> str:
    """The file of a mutant: its module stands before the colon of its name, or generates the mutants of a cell."""
    generator = re.search(r"\((\w+)\)$", mutant.name)
    modules = mutant.name.partition(":")[0], GENERATORS.get(generator[1] if generator else "", "equations")
    files = (file for module in modules for file in (ROOT / "conformance" / "mutants").rglob(f"{module}.py"))
    return str(next(files).relative_to(ROOT))


@cache
def _mutants() -> Mapping[str, Mutant]:
    return {mutant.name: mutant for mutant in mutants()}


@cache
def detected() -> Mapping[str, Mapping[str, int]]:
    """For each law the mutants that the last self-test found it to detect, and how many laws detect each of them."""
    found: dict[str, Any] = json.loads(SELF_TEST.read_text(encoding="utf-8"))["self_test"]
    laws, faults = found["matrix"]["laws"], found["matrix"]["faults"]
    rows = {fault["name"]: [law for i, law in enumerate(reversed(laws)) if int(fault["told_by"], 16) >> i & 1]
            for fault in faults}  # fmt: skip
    pairs = [(law, name) for name, detecting in rows.items() for law in detecting]
    pairs += [(law, name) for name, (law, _) in found["kills"].items()] + list(found["laws"].items())
    known: dict[str, dict[str, int]] = {law: {} for law in found["laws"]}
    for law, name in pairs:
        known[law][name] = len(rows.get(name, laws))
    return known


def _distance(name: str, laws: int) -> tuple[bool, int]:
    """Least for a fault of the protocol, not of one cell, that few laws detect."""
    return hasattr(_mutants()[name], "cell"), laws


if __name__ == "__main__":
    write()
