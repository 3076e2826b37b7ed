"""What networks learnt."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tables.markdown import table

__all__ = [
    "experiments_tables",
    "handwriting_tables",
    "language_tables",
    "launched_tables",
    "reference_tables",
    "speech_tables",
    "tesseract_tables",
    "text_backend_tables",
    "text_course_tables",
    "text_tables",
    "tracking_tables",
]

FOLDER = Path(__file__).parents[1] / "figures"


def handwriting_tables(data: Any) -> Iterator[str]:
    yield from table(("cell", "test accuracy, median", "by seed", "seconds of training, median"),
                     ((row["cell"], f"{row['median']:.4f}", ", ".join(f"{a:.4f}" for a in row["test_accuracies"]),
                       f"{row['seconds']:.0f}") for row in data["cells"]))  # fmt: skip
    yield ""
    yield from table(("trained on", "read again on", "cell", "answers the same", "largest difference of a logit"),
                     ((row["trained_on"], row["backend"], row["cell"], f"{row['same_answers']} of {row['of']}",
                       f"{row['largest_difference']:.1e}") for row in data["checks"]))  # fmt: skip


    yield ""
    yield from table(("cell", "backend", "mean loss of each epoch at the start"),
                     ((row["cell"], row["backend"], ", ".join(f"{loss:.7f}" for loss in row["losses"]))
                      for row in data["first_epochs"]))  # fmt: skip


def language_tables(data: Any) -> Iterator[str]:
    yield from table(("on the test text", "perplexity", "bits for each character"),
                     ((name, f"{math.exp(nats):.3f}", f"{nats / math.log(2):.3f}")
                      for name, nats in data["nats"].items()))  # fmt: skip
    yield ""
    yield from table(("trained on", "read again on", "perplexity", "relative difference"),
                     ((data["backend"], row["backend"], f"{row['perplexity']:.6f}", f"{row['difference']:.0e}")
                      for row in data["checks"]))  # fmt: skip
    training, validation, testing = (f"{count:,}" for count in data["characters"])
    yield f"\n{training} characters for training, {validation} for validation, {testing} for testing; " \
          f"{data['seconds']:.0f} s of processor time on {data['backend']}. At temperature {data['temperature']} it " \
          f"writes:\n\n```text\n{data['sample']}\n```"


def launched_tables(data: Any) -> Iterator[str]:
    """The course of each number of workers, and how far it is from that of NumPy alone."""
    alone = data["runs"][0]

    def furthest(run: Any) -> float:
        return max(abs(a - b) for what in ("losses", "validation") for a, b in zip(run[what], alone[what], strict=True))

    yield from table(("backend", "workers", "training, each round", "validation, each round", "from NumPy alone"),
                     ((run["backend"], run["workers"], ", ".join(f"{bits:.6f}" for bits in run["losses"]),
                       ", ".join(f"{bits:.6f}" for bits in run["validation"]), f"{furthest(run):.0e}")
                      for run in data["runs"]))  # fmt: skip


def speech_tables(data: Any) -> Iterator[str]:
    named = {f"{data['cell']}, median of {data['seeds']} seeds": data["test_accuracy"],
             "mean frame, logistic regression": data["without_time"], **data["published"]}  # fmt: skip
    yield from table(("on the test utterances", "accuracy"), ((name, f"{found:.3f}") for name, found in named.items()))
    yield f"\nBy seed: {', '.join(f'{found:.3f}' for found in data['test_accuracies'])}; " \
          f"{data['seconds']:.0f} s of processor time each, on {data['backend']}.\n"
    yield from table(("trained on", "heard again on", "answers the same", "largest difference of a logit"),
                     ((data["backend"], row["backend"], f"{row['same_answers']} of {row['of']}",
                       f"{row['largest_difference']:.1e}") for row in data["checks"]))  # fmt: skip


def experiments_tables(data: Any) -> Iterator[str]:
    """Every run: how it was declared, and where it came."""
    yield from table(("task", "cell", "clipped at", "Adam's rate", "steps", "test error", "without memory", "solved"),
                     ((row["task"], row["cell"], row["norm"] or "", f"{row['rate']:g}", row["step"],
                       "not finite" if row["test_error"] is None else f"{row['test_error']:.4f}",
                       f"{row['chance']:.4f}", "**yes**" if row["solved"] else "no")
                      for row in data["runs"]))  # fmt: skip
    minutes = sum(row["processor_seconds"] for row in data["runs"]) / 60
    yield ""
    yield f"{len(data['runs'])} runs, {minutes:.0f} minutes of one processor in all, on {data['runs'][0]['backend']}."


def tracking_tables(data: Any) -> Iterator[str]:
    """Every run: its accuracy after so many steps."""
    runs = data["runs"]
    yield from table(("task", "cell", "seed", *(f"after {length} steps" for length in runs[0]["lengths"]), "a guess",
                      "updates", "last training loss"),
                     ((run["task"], run["cell"], run["seed"], *(f"{found:.3f}" for found in run["accuracies"]),
                       f"{run['chance']:.3f}", f"{run['updates']:,}", f"{run['loss']:.4f}")
                      for run in runs))  # fmt: skip
    minutes = sum(run["processor_seconds"] for run in runs) / 60
    yield ""
    yield f"{len(runs)} runs, {minutes:.0f} minutes of one processor in all, on {data['backend']}."


def text_tables(data: Any) -> Iterator[str]:
    """One training of the text example, with its picture."""
    yield from reference_tables(data)
    yield f"\n![The course of training, and lines with what was read](figures/text-{data['task']}.png)"


def reference_tables(data: Any) -> Iterator[str]:
    yield from table(("backend", "test characters", "wrong", "test lines", "wrong", "parameters", "steps",
                      "processor seconds", "validation error after each sixth of the rounds"),
                     [(data["backend"], f"{data['characters']:,}", f"{data['character_error_rate']:.2%}",
                       f"{data['lines']:,}", f"{data['line_error_rate']:.1%}", f"{data['parameters']:,}",
                       f"{data['steps']:,}", f"{data['processor_seconds']:.0f}",
                       by_the_way(data["errors"]))])  # fmt: skip


def tesseract_tables(data: Any) -> Iterator[str]:
    """What Tesseract reads beside what the example does, whole and for each held-out family."""
    own = json.loads((FOLDER / "text-words.json").read_text())
    yield from table(("characters wrong", "all", *own["errors_by_hand"]),
                     ((name, f"{found['character_error_rate']:.1%}",
                       *(f"{found['errors_by_hand'][hand]:.1%}" for hand in own["errors_by_hand"]))
                      for name, found in ((f"rnnspec, {own['backend']}", own),
                                          (f"Tesseract {data['version']}", data))))  # fmt: skip


def by_the_way(errors: list[float]) -> str:
    places = [round(len(errors) * part / 6) - 1 for part in range(1, 7)]
    return ", ".join(f"{errors[place]:.1%}" for place in places)


def text_backend_tables(data: Any) -> Iterator[str]:
    yield from table(("backend", "same readings", "test characters wrong", "processor ms per step", "first losses"),
                     ((row["backend"], f"{row['same_answers']} of {row['lines']}", f"{row['character_error_rate']:.2%}",
                       f"{row['processor_seconds_of_a_step'] * 1e3:.0f}",
                       ", ".join(f"{loss:.5f}" for loss in row["losses"])) for row in data["backends"]))  # fmt: skip


def text_course_tables(data: Any) -> Iterator[str]:
    """A whole training of each task on each backend."""
    yield from table(("task", "backend", "test characters wrong", "processor seconds", "steps"),
                     ((row["task"], row["backend"], f"{row['character_error_rate']:.2%}",
                       f"{row['processor_seconds']:.0f}", f"{row['steps']:,}") for row in data["courses"]))  # fmt: skip
