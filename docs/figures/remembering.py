"""Counts how many cases of a law remember: whether the end of each row depends on its beginning.

    python docs/figures/remembering.py --json docs/figures/remembering.json

The measure is that of the cases which are made to remember (`conformance.cases.reach`). Of each label one case is
measured, with full rows; left out are cases without a step or a row, those that read the last step, and large ones.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from conformance.cases import CELLS, Case, Pull, memory
from conformance.mutants.trial import _cases as drawn
from conformance.mutants.trial import strategies
from rnnspec import Last

LAWS = {"P11": "splits", "P02": "gradients", "P08": "one layer at a time", "P13": "truncation", "P120": "drawn cells",
        "P123": "published cells", "P170": "long memory"}  # fmt: skip
LARGEST = 40_000
"""The most numbers in the states of all steps."""


def whole(case: Case) -> Case:
    """The case with full rows and an initial state, whose gradients are all sought."""
    return replace(case, lengths=None, pull=Pull.BOTH, unset=False)


def is_measured(case: Case) -> bool:
    """Whether a case has rows with steps, outputs of every step, and no more numbers than can be measured quickly."""
    size = case.steps * case.batch * sum(layer.width for layer in case.net.layers)
    return bool(case.ends.any()) and not isinstance(case.net.read, Last) and size <= LARGEST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = []
    for law, what in track(LAWS.items()):
        found = [drawn(law, label, 1, tuple(CELLS.values()))[-1] for label in strategies(law, tuple(CELLS.values()))]
        measured = [case for case in map(whole, found) if is_measured(case)]
        remember = [case.steps for case in measured if not memory(case).lost]
        rows.append({"law": f"{law}, {what}", "cases": len(measured), "remember": sorted(remember),
                     "forget": sorted(case.steps for case in measured if memory(case).lost)})  # fmt: skip
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
