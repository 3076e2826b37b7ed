"""Tests the cells and functions of published packages, and runs the minimal case of each fault that is known of them.

    PYTHONPATH=docs/scoreboard/adapters python docs/scoreboard/published.py --json docs/figures/published.json

Each file of adapters has a process of its own, in the environment that `make scoreboard` makes. A package that cannot
be imported is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from itertools import groupby
from pathlib import Path
from textwrap import shorten
from typing import Any

from packages import NOTES, THINGS, Thing

HERE = Path(__file__).parent
LAWS = {"f32": ("P01", "P02"), "f64": ("P01",)}
"""The laws of each precision."""
SHAPES = ((5, 9, 3, 4), (2, 33, 2, 3))
EXAMPLES, PATIENCE = 1, 900


def judged(thing: Thing) -> dict[str, Any]:
    """What the suite says of a thing: the laws that fail, and how the first one does."""
    from conformance.modules import load  # noqa: PLC0415  # in the process of its package alone
    from conformance.registry import Scope, Shape, properties  # noqa: PLC0415
    from conformance.running.examination import Examination  # noqa: PLC0415

    laws, found = {law.id: law for law in properties()}, []
    for precision, names in LAWS.items():
        backend = load(thing.spec, thing.cell, precision)
        scope = Scope(backend.capabilities.cells or (), tuple(Shape(*shape) for shape in SHAPES), brief=True)
        for name in names:
            finding = Examination(backend, scope, examples=EXAMPLES).judge(laws[name])
            if finding.status in ("fail", "error"):
                found.append((f"{name} in {precision}", finding.why))
    return {"fails": [law for law, _ in found], "why": found[0][1] if found else ""}


def attempted(thing: Thing) -> dict[str, Any]:
    """`judged`, or the error that kept it from being judged."""
    try:
        return judged(thing)
    except Exception as error:
        return {"fails": [], "why": "", "error": f"{type(error).__name__}: {error}"}


def together(things: list[Thing]) -> list[dict[str, Any]]:
    """The findings of things that share a file of adapters, in a process of their own."""
    specs = [json.dumps([thing.spec, thing.cell]) for thing in things]
    try:
        done = started("-W", "ignore", __file__, "--judge", *specs)
    except subprocess.TimeoutExpired:
        return [{"fails": [], "why": "", "error": f"no answer within {PATIENCE} s"}] * len(things)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["the process ended without a word"])[-1]
        return [{"fails": [], "why": "", "error": last}] * len(things)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of Python in the environment of the adapters; raises TimeoutExpired."""
    path = os.pathsep.join(map(str, (HERE / "adapters", HERE, HERE.parents[1])))
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE,
                          env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})  # fmt: skip


RUN = """
import json, runpy, sys
found = {}
for file in sys.argv[1:]:
    try:
        runpy.run_path(file)
    except Exception as error:
        found[file] = f"{type(error).__name__}: {error}"
print()
print(json.dumps(found))
"""


def shown(codes: list[str]) -> dict[str, str]:
    """The minimal cases that no longer show what their notes say, each with its error; one process runs them all."""
    files = {str(HERE / f"cases/{code}.py"): code for code in codes}
    done = started("-W", "ignore", "-c", RUN, *files)
    if done.returncode:
        return dict.fromkeys(codes, (done.stderr.strip().splitlines() or ["no word"])[-1])
    return {files[file]: error for file, error in json.loads(done.stdout.splitlines()[-1]).items()}


def verdict(thing: Thing, found: dict[str, Any]) -> str:
    """The verdict in words."""
    if found.get("error"):
        return f"could not be judged: {found['error']}"
    if thing.spec and not found["fails"]:
        return thing.finding or "right"
    if thing.spec and not thing.fails:
        return f"fails, not yet explained: {found['why']}"
    return thing.finding


def row(thing: Thing, found: dict[str, Any]) -> dict[str, Any]:
    command = f"python -m conformance --module {thing.spec} --as {thing.cell} --tier smoke --no-speed"
    return {"package": thing.package, "version": version(thing.package), "thing": thing.name, "cell": thing.cell,
            "command": command if thing.spec else "", "verdict": verdict(thing, found), "fails": found["fails"],
            "expected": list(thing.fails), "why": shorten(found["why"], 100), "notes": list(thing.notes)}  # fmt: skip


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def measured(things: tuple[Thing, ...]) -> Iterator[dict[str, Any]]:
    nothing: dict[str, Any] = {"fails": [], "why": ""}
    for file, members in groupby(things, lambda thing: thing.spec.partition(":")[0]):
        group = list(members)
        begun = time.perf_counter()
        found = together(group) if file else [nothing] * len(group)
        sys.stderr.write(f"{file or 'minimal cases alone'}: {time.perf_counter() - begun:.0f} s\n")
        yield from map(row, group, found)


def document(things: tuple[Thing, ...]) -> dict[str, Any]:
    """All rows, and the notes with what their minimal cases show now."""
    rows = list(measured(things))
    used = [code for code in NOTES if any(code in one["notes"] for one in rows)]
    errors = shown(used)
    notes = [{"code": code, "title": NOTES[code][0], "says": NOTES[code][1], "no_longer": errors.get(code, "")}
             for code in used]  # fmt: skip
    return {"laws": {precision: list(names) for precision, names in LAWS.items()}, "rows": rows, "notes": notes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="test only packages whose name contains this")
    parser.add_argument("--judge", nargs="+", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.judge:
        chosen = {(thing.spec, thing.cell): thing for thing in THINGS}
        found = [attempted(chosen[tuple(json.loads(spec))]) for spec in given.judge]
        sys.stdout.write(f"\n{json.dumps(found)}\n")
        return
    things = tuple(thing for thing in THINGS if given.only in thing.package)
    text = json.dumps(document(things), indent=1) + "\n"
    (given.json or Path("/dev/stdout")).write_text(text)


if __name__ == "__main__":
    main()
