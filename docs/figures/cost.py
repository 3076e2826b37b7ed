"""Measures what the default tier costs: time of the clock and of the processors, and the memory of each worker.

    python docs/figures/cost.py --json docs/figures/cost.json
    python docs/figures/cost.py --json docs/figures/cost-loaded.json --load 4

`--load` starts so many processes that do nothing but compute, which stand for the other users of a busy machine. What
the tests of correctness take, the report itself says; the rest of the processors' time is that of speed and of starting
processes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnspec import backend_names

BUSY = "while True: pass"
"""What a process of the pretended load computes."""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that compute until the end of the block."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def ran(options: list[str]) -> tuple[int, float, float, dict[str, Any]]:
    """The exit status of the suite, its seconds of the clock and of the processors, and its report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        begun, used = time.perf_counter(), _processors()
        done = subprocess.run([sys.executable, "-m", "conformance", *options, "--json", str(file)], check=False)
        seconds, processors = time.perf_counter() - begun, _processors() - used
        return done.returncode, seconds, processors, json.loads(file.read_text(encoding="utf-8"))


def _processors() -> float:
    """The seconds of the processors that ended processes of this one took, with all that those waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def backend(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What one backend cost in all precisions, and what there was no time or no verdict for."""
    speed = [row for entry in entries for row in entry["speed"]]
    return {
        "name": name, "status": [entry["status"] for entry in entries],
        "seconds": sum(entry["seconds"] for entry in entries),
        "processor_seconds": sum(entry["processor_seconds"] for entry in entries),
        "peak_memory": max(entry["peak_memory"] for entry in entries),
        "programs": sum(entry["programs_compiled"] for entry in entries),
        "examples": sum(entry["examples"] for entry in entries),
        "not_asked": sum("not_asked" in (p["status"], *p["labels"].values()) for e in entries for p in e["properties"]),
        "speed": len(speed), "given_up": sum(bool(row["given_up"]) for row in speed),
        "inconclusive": sum(row["verdict"] == "inconclusive" for row in speed),
        "not_measured": sum(len(entry["not_measured"]) for entry in entries),
    }  # fmt: skip


def main(
    json_file: Annotated[Path, typer.Option("--json")],
    load: Annotated[int, typer.Option(help="Processes of a pretended load.")] = 0,
    name: Annotated[list[str] | None, typer.Option("--backend")] = None,
    tier: str = "default",
    minutes: float | None = None,
    speed: bool = True,
) -> None:
    names = name or list(backend_names())
    options = [option for each in names for option in ("--backend", each)] + ["--tier", tier]
    options += ([] if minutes is None else ["--minutes", str(minutes)]) + ([] if speed else ["--no-speed"])
    before = os.getloadavg()[0]
    with busy(load):
        status, seconds, processors, report = ran(options)
    entries = {each: [entry for entry in report["backends"] if entry["name"] == each] for each in names}
    found = {
        "tier": tier, "processors": os.cpu_count(), "load": load,
        "load_before": before, "load_after": os.getloadavg()[0],
        "exit_status": status, "seconds": seconds, "processor_seconds": processors,
        "backends": [backend(each, own) for each, own in entries.items() if own],
    }  # fmt: skip
    json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for each in found["backends"]:
        print(f"{each['name']:12} {each['seconds']:6.0f} s, {each['processor_seconds']:6.0f} s of the processor, "
              f"{each['peak_memory'] / 1e9:.2f} GB, {each['given_up']} of {each['speed']} rows given up")  # fmt: skip
    print(f"in all {seconds:.0f} s, {processors:.0f} s of the processors, exit status {status}")


if __name__ == "__main__":
    typer.run(main)
