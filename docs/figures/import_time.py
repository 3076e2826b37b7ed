"""Measures what `import rnnspec` adds to `import numpy`, and which frameworks it imports.

    python docs/figures/import_time.py --json docs/figures/import.json
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
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
wall, processor = time.perf_counter(), time.process_time()
{statement}
spent = [1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)]
print(json.dumps([*spent, sorted({{"torch", "tensorflow", "keras", "jax"}} & sys.modules.keys())]))
"""


def measure(statement: str) -> dict[str, Any]:
    """Medians over fresh processes, NumPy being imported already, bytecode being there as an installer leaves it."""
    command = [sys.executable, "-c", CHILD.format(statement=statement)]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [json.loads(subprocess.check_output(command, env=environment)) for _ in range(ROUNDS + 1)][1:]
    walls, processors, frameworks = zip(*runs, strict=True)
    return {"statement": statement, "milliseconds": statistics.median(walls),
            "processor_milliseconds": statistics.median(processors), "frameworks": frameworks[0]}  # fmt: skip


def main(json_file: Annotated[Path, typer.Option("--json")]) -> None:
    json_file.write_text(json.dumps({"rounds": ROUNDS, "imports": [measure(s) for s in STATEMENTS]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
