"""Reads digits after trainings with and without dropout, from several seeds each.

    python docs/figures/dropout.py --json docs/figures/dropout.json

The course is half as long as that of text_recognition.py. The test lines are read once, by what validation chose.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from text_course import Stage
from text_readings import character_errors, logits, read
from text_tasks import EXERCISES
from text_training import TESTING, train

import rnnspec

STAGES = (Stage(3e-3, 30), Stage(1e-3, 12), Stage(2e-4, 8))
RATES = (0.0, 0.2, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits", choices=sorted(EXERCISES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    runs = [trained(given.task, rate, seed) for seed in range(given.seeds) for rate in RATES]
    rows = [summary(rate, [run for run in runs if run["rate"] == rate]) for rate in RATES]
    given.json.write_text(json.dumps({"task": given.task, "rates": rows, "runs": runs}, indent=1) + "\n")


def trained(name: str, rate: float, seed: int) -> dict[str, Any]:
    """The share of wrong characters of the test lines, and the training loss at the end."""
    task = EXERCISES[name].task
    course = replace(EXERCISES[name].course, stages=STAGES, dropout=rate)
    be, began = rnnspec.get_backend("torch"), time.process_time()
    run = train(be, task, course, seed)
    spent, held = time.process_time() - began, task.batches(task.testing(course.testing, TESTING), course.batch)
    wrong = character_errors(read(logits(be, course.network(task), run.best), held, task.alphabet))
    found = {"rate": rate, "seed": seed, "character_error_rate": wrong, "validation": run.best_error,
             "loss": run.losses[-1], "rounds": run.round, "processor_seconds": round(spent, 1)}  # fmt: skip
    print(found, flush=True)
    return found


def summary(rate: float, runs: list[dict[str, Any]]) -> dict[str, float]:
    """Mean and standard deviation over seeds."""
    wrong = [run["character_error_rate"] for run in runs]
    return {"rate": rate, "mean": mean(wrong), "deviation": stdev(wrong) if len(wrong) > 1 else 0.0}


if __name__ == "__main__":
    main()
