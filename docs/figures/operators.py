"""Which laws detect which faults of kernels in chunks, and whether the right ones conform.

    python docs/figures/operators.py --json FILE [--part faults|right] [--only OPERATOR]

Each fault is one piece of source in place of another, in an operator of PyTorch or JAX (tests/operator_faults.py). The
laws of operands come first; a fault that both miss is put to all others until one detects it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from operator_faults import FAULTS, OPERATORS, Fault, made  # noqa: E402

from conformance.cases import load_cell  # noqa: E402
from conformance.findings.finding import BAD, Finding  # noqa: E402
from conformance.operators import OperatorBackend  # noqa: E402
from conformance.operators.operator import operator  # noqa: E402
from conformance.registry import Property, Scope, properties  # noqa: E402
from conformance.running.examination import Examination  # noqa: E402
from conformance.statements import (  # noqa: E402
    CALLS,
    EQUATIONS,
    EXTREMES,
    OPERANDS,
    PADDING,
    RESETS,
    ROWS,
    SEQUENCE,
    VALUES,
)

FIRST = ("P160", "P161")
PRECISION, EXAMPLES, SEED = "f64", 6, 0
THEMES = (VALUES, SEQUENCE, ROWS, PADDING, EQUATIONS, EXTREMES, CALLS, RESETS, OPERANDS)
"""Those that a right operator must keep here; the others test what the suite puts around it, such as losses."""
COMPILED = ("P01", "P02", "P160", "P161")
"""The laws for operators of JAX, which compiles every shape."""
LACKS = ("extremes",)
"""What no kernel in chunks has: the numbers of a chunk meet in products."""


def backend(name: str, function: Any) -> OperatorBackend:
    """An operator as a backend."""
    module, own, cell = OPERATORS[name]
    return OperatorBackend(operator(f"{module}:{own}", function, load_cell(cell), LACKS), cell, PRECISION)


def finding(subject: OperatorBackend, law: Property, examples: int) -> Finding:
    """What one law finds."""
    scope = Scope(subject.capabilities.cells or (), brief=True, closed=True)
    return Examination(subject, scope, SEED, examples, labels=5).judge(law)


def told_by(fault: Fault) -> list[str]:
    """The laws of operands that detect a fault, or the first of all others that does."""
    subject, found = backend(fault.operator, fault.make()), list[str]()
    laws = sorted(properties(), key=lambda law: law.id not in FIRST)
    for law in laws:
        if found and law.id not in FIRST:
            break
        if finding(subject, law, EXAMPLES).status in BAD:
            found.append(law.id)
    return found


def right(name: str) -> dict[str, Any]:
    """How many laws a right operator keeps, and those that it breaks."""
    subject, begun = backend(name, made(name)), time.perf_counter()
    ids = {statement.id for theme in THEMES for statement in theme.statements}
    ids &= set(COMPILED) if subject.operator.function.framework == "jax" else ids
    found = [finding(subject, law, 1) for law in properties() if law.id in ids]
    kept, broken = sum(f.status == "pass" for f in found), [f.id for f in found if f.status in BAD]
    return {"operator": name, "kept": kept, "broken": broken, "seconds": round(time.perf_counter() - begun)}


def faults(chosen: list[str]) -> Iterator[dict[str, Any]]:
    """Every fault, and the laws that detect it."""
    for fault in FAULTS:
        if fault.operator in chosen:
            yield {"operator": fault.operator, "says": fault.says, "told_by": told_by(fault)}


def main() -> None:
    """Test all, print a table, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--part", choices=("faults", "right"))
    parser.add_argument("--only", choices=tuple(OPERATORS))
    given = parser.parse_args()
    chosen = [given.only] if given.only else list(OPERATORS)
    found: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() else {}
    found |= {"precision": PRECISION, "examples": EXAMPLES}
    for part, rows in (("faults", faults(chosen)), ("right", (right(name) for name in chosen))):
        if given.part in (None, part):
            kept = [row for row in found.get(part, []) if row["operator"] not in chosen]
            for row in rows:
                print(*row.values(), sep=" | ", flush=True)
                kept.append(row)
            found[part] = sorted(kept, key=lambda row: list(OPERATORS).index(row["operator"]))
    given.json.write_text(json.dumps(found, indent=1) + "\n")
    missed = [row["says"] for row in found.get("faults", []) if not row["told_by"]]
    broken = [row["operator"] for row in found.get("right", []) if row["broken"]]
    sys.exit(f"missed: {missed}; broken: {broken}" if missed or broken else 0)


if __name__ == "__main__":
    main()
