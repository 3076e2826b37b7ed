"""Tests the frameworks' own layers as `python -m conformance --module` does, with a process for each framework.

    python docs/scoreboard/measure.py --json docs/figures/scoreboard.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from notes import NOTES, note

HERE = Path(__file__).parent
EXAMPLES = 2


def judged(spec: str, cell: str) -> dict[str, Any]:
    """Every column of one layer."""
    from things import COLUMNS, RUNS, opened  # noqa: PLC0415  # in the process of its framework alone

    from conformance.registry import properties  # noqa: PLC0415
    from conformance.running.examination import Examination  # noqa: PLC0415
    from rnnspec.errors import UnsupportedError  # noqa: PLC0415

    laws, findings = {law.id: law for law in properties()}, {}
    version = ""
    for run in RUNS:
        try:
            backend, scope = opened(spec, cell, run)
        except UnsupportedError:
            continue
        version = backend.version
        for law in {name for column in COLUMNS if column.run == run for name in named(column, backend)}:
            findings[run, law] = Examination(backend, scope, examples=EXAMPLES, labels=5).judge(laws[law])
    columns = {column.name: status(column, named(column, backend), findings) for column in COLUMNS}
    return {"version": version, "columns": columns}


def named(column: Any, backend: Any) -> tuple[str, ...]:
    return column.instead if column.instead and not backend.capabilities.gradients else column.laws


def status(column: Any, laws: tuple[str, ...], findings: dict[tuple[str, str], Any]) -> dict[str, str]:
    """The status of a column: the worst status of its laws, on the networks that the column takes."""
    found = []
    for law in laws:
        finding = findings.get((column.run, law))
        labels = finding.labels if finding else {}
        own = [status for label, status in labels.items() if (label in ("last", "stacked")) == column.deep]
        found += [(status, finding.why if status in ("fail", "error") else "") for status in own]
    order = ("fail", "error", "pass")
    worst, why = min(found, key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order),
                     default=("unsupported", ""))  # fmt: skip
    return {"status": worst, "why": why}


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The scoreboard. Raises SystemExit for a cell that fails without a note."""
    used, shown = {}, []
    for row in rows:
        cells = []
        for name, found in row["columns"].items():
            known = note(row["framework"], row["thing"], name) if found["status"] != "pass" else None
            if known is None and found["status"] in ("fail", "error"):
                raise SystemExit(f"{row['framework']} {row['thing']}, {name}: {found['why']}; write a note, with "
                                 "code that shows it")  # fmt: skip
            used |= {known.reproducer: known} if known else {}
            cells.append({"verdict": known.kind if known else found["status"], **found,
                          "reproducer": known.reproducer if known else ""})  # fmt: skip
        shown.append({"framework": row["framework"], "thing": row["thing"], "cells": cells})
    ordered = [known for known in NOTES if known.reproducer in used]
    return {"columns": list(rows[0]["columns"]), "versions": sorted({row["version"] for row in rows}), "rows": shown,
            "notes": [asdict(known) for known in ordered]}  # fmt: skip


def measured(only: str = "") -> list[dict[str, Any]]:
    """The rows of every group, each group in a process of its own."""
    from things import GROUPS  # noqa: PLC0415

    rows = []
    for group in GROUPS:
        if only in group.framework:
            command = [sys.executable, str(HERE / "measure.py"), "--group", group.framework]
            path = os.pathsep.join((str(HERE), str(HERE.parents[1])))
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  env={**os.environ, "PYTHONPATH": path, **dict(group.environment)})  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr)
            rows += json.loads(done.stdout.splitlines()[-1])
    return rows


def main(
    json_: Annotated[Path | None, typer.Option("--json")] = None, group: str = "", only: str = ""
) -> None:
    if group:
        from things import GROUPS  # noqa: PLC0415

        (found,) = [one for one in GROUPS if one.framework == group]
        rows = [{"framework": group, "thing": name, **judged(spec, cell)} for name, spec, cell in found.things]
        sys.stdout.write(f"\n{json.dumps(rows)}\n")
        return
    text = json.dumps(document(measured(only)), indent=1) + "\n"
    (json_ or Path("/dev/stdout")).write_text(text)


if __name__ == "__main__":
    typer.run(main)
