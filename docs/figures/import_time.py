"""Measures what `import rnnspec` adds to `import numpy`, and which frameworks it imports.

    python docs/figures/import_time.py --json docs/figures/import.json
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

ROUNDS = 15
STATEMENTS = (
    "import rnnspec",
    "import rnnspec; rnnspec.backend_names()",
    "import rnnspec; rnnspec.get_backend('numpy')",
)
CHILD = """
import json, sys, time
import numpy
start = time.perf_counter()
{statement}
spent = time.perf_counter() - start
print(json.dumps([1e3 * spent, sorted({{"torch", "tensorflow", "keras", "jax"}} & sys.modules.keys())]))
"""


def measure(statement: str) -> dict[str, Any]:
    """The median over fresh processes, NumPy being imported already."""
    command = [sys.executable, "-c", CHILD.format(statement=statement)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
    median = statistics.median(spent for spent, _ in runs)
    return {"statement": statement, "milliseconds": median, "frameworks": runs[0][1]}


def main(json_file: Annotated[Path, typer.Option("--json")]) -> None:
    json_file.write_text(json.dumps({"rounds": ROUNDS, "imports": [measure(s) for s in STATEMENTS]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
