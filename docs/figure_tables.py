"""The figures of the pages as tables: what each measurement's JSON says, and the command that writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["figures", "table"]

FOLDER = Path(__file__).parent / "figures"


def figures(name: str) -> str:
    """The figures of one measurement as tables."""
    path, (tables, command) = FOLDER / f"{name}.json", FIGURES[name]
    if not path.exists():
        return f"Not yet measured: `{command}`."
    found = "\n".join(tables(json.loads(path.read_text())))
    return f"{found}\n\nFrom `{command}`; the figures are in [{path.name}](figures/{path.name})."


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    names = tuple(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def import_tables(data: Any) -> Iterator[str]:
    yield from table(("imported", "ms, median", "ms of processor time", "frameworks imported"),
                     ((f"`{row['statement']}`", f"{row['milliseconds']:.0f}", f"{row['processor_milliseconds']:.0f}",
                       ", ".join(row["frameworks"]) or "none") for row in data["imports"]))  # fmt: skip


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
    yield from table(("trained on", "read again on", "perplexity", "differs by the share"),
                     ((data["backend"], row["backend"], f"{row['perplexity']:.6f}", f"{row['difference']:.0e}")
                      for row in data["checks"]))  # fmt: skip
    training, validation, testing = (f"{count:,}" for count in data["characters"])
    yield f"\n{training} characters for training, {validation} for validation, {testing} for testing; " \
          f"{data['seconds']:.0f} s of processor time on {data['backend']}. At temperature {data['temperature']} it " \
          f"writes:\n\n```text\n{data['sample']}\n```"


def speech_tables(data: Any) -> Iterator[str]:
    named = {f"{data['cell']}, median of {data['seeds']} seeds": data["test_accuracy"],
             "mean frame, logistic regression": data["without_time"], **data["published"]}  # fmt: skip
    yield from table(("on the test utterances", "accuracy"), ((name, f"{found:.3f}") for name, found in named.items()))
    yield f"\nBy seed: {', '.join(f'{found:.3f}' for found in data['test_accuracies'])}; " \
          f"{data['seconds']:.0f} s of processor time each, on {data['backend']}.\n"
    yield from table(("trained on", "heard again on", "answers the same", "largest difference of a logit"),
                     ((data["backend"], row["backend"], f"{row['same_answers']} of {row['of']}",
                       f"{row['largest_difference']:.1e}") for row in data["checks"]))  # fmt: skip


def self_test_tables(data: Any) -> Iterator[str]:
    found = data["self_test"]
    equivalent, survivors = len(found["equivalent"]), len(found["survivors"])
    yield f"{found['mutants']} mutants: {found['killed']} killed, {equivalent} equivalent, {survivors} survived."
    if "signatures" in found:
        rows, patterns = len(found["matrix"]["faults"]), found["signatures"]
        yield f"The kill matrix has {rows} of them, in {patterns} different patterns."
    for kind in ("equivalent", "survivors"):
        if found[kind]:
            yield ""
            yield from table((kind, "why"), ((row["name"], row["why"]) for row in found[kind]))


def detectable_tables(data: Any) -> Iterator[str]:
    """By precision: the smallest defect that the suite sees and that `assert_close` sees, forward and in a gradient."""
    columns = [f"{what} {who}" for what in ("forward", "gradient") for who in ("suite", "assert_close")]
    yield f"LSTM, {data['steps']} steps, {data['cases']} cases: the median, and the largest of all cases."
    yield ""
    yield from table(("precision", "unit roundoff", "one step's state, here", "by `assert_close`",
                      "one step's gradient, here", "by `assert_close`"),
                     ((row["precision"], f"{row['unit']:.1e}", *(defect(found) for column in columns
                       for found in row["found"] if found["what"] == column)) for row in data["rows"]))  # fmt: skip


def defect(found: Any) -> str:
    most = "none" if found["most"] == float("inf") else f"{found['most']:.1e}" if found["most"] else "-"
    median = "none" if found["median"] == float("inf") else f"{found['median']:.1e}" if found["median"] else "-"
    return f"{median}, {most}" + (f"; right answers refused in {found['refused']}" if found["refused"] else "")


def other_suites_tables(data: Any) -> Iterator[str]:
    """How many faults of each kind each suite tells."""
    rows = data["rows"]
    kinds, suites = dict.fromkeys(row["kind"] for row in rows), list(rows[0]["told"])

    def counted(kind: str, chosen: list[Any]) -> tuple[str, ...]:
        return (kind, str(len(chosen)), *(str(sum(row["told"][suite] for row in chosen)) for suite in suites))

    yield from table(("faults of", "faults", *suites),
                     (*(counted(kind, [r for r in rows if r["kind"] == kind]) for kind in kinds), counted("all", rows)))


SPEED = ("cell", "batch, time, inputs, hidden", "mode", "time / floor", "peer", "time / peer", "95 %", "verdict")


def speed_tables(data: Any) -> Iterator[str]:
    for backend in data["backends"]:
        yield f"**{backend['name']} {backend['version']}**, {backend['device']}, {backend['precision']}"
        yield ""
        yield from table(SPEED, (speed_row(row) for row in backend["speed"]))
        yield ""


def speed_row(row: Any) -> tuple[str, ...]:
    shape = ", ".join(str(row["shape"][name]) for name in ("batch", "time", "inputs", "hidden"))
    low, high = row["ci"] or (None, None)
    return (row["cell"], shape, row["mode"], number(row["ratio_floor"]), row["peer"] or "", number(row["ratio_peer"]),
            f"{number(low)} to {number(high)}", row["verdict"])  # fmt: skip


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def missed_tables(data: Any) -> Iterator[str]:
    """Every call beyond its aim, in microseconds: of the call itself, of its parts, of the peer, of the products."""
    yield from table(("backend", "cell", "batch, time, inputs, hidden", "mode", "time / peer", "aim", "peer",
                      "products alone", "the call", "looks at arguments", "the program"),
                     ((row["backend"], row["cell"], ", ".join(map(str, row["shape"].values())), row["mode"],
                       f"{number(row['ratio'])}, {row['peer']}", number(row["aim"]),
                       *(f"{row[part]:,.0f}" for part in PARTS)) for row in data["rows"]))  # fmt: skip


PARTS = ("peer_us", "products_us", "call", "checks", "program")


def stress_tables(data: Any) -> Iterator[str]:
    pieces = {name: piece for name, piece in data.items() if name != "policies"}
    if pieces:
        yield from table(("measured", "figure"), leaves("", pieces))
        yield ""
    if "policies" in data:
        yield from policy_tables(data["policies"])


def policy_tables(data: Any) -> Iterator[str]:
    """The cases of each policy, and of each backend what failed and the worst error in units of the yardstick."""
    names = tuple(next(iter(data["policies"].values()))["backends"])
    rows = data["policies"].items()
    counts = [(policy, row["within"], row["beyond"], row["edges"], *(ended(row["backends"][name]) for name in names))
              for policy, row in rows]  # fmt: skip
    yield from table(("policy", "cases within", "beyond", "at edges", *(f"{name}: failed, worst" for name in names)),
                     counts)  # fmt: skip
    posed = {name: sum(row["backends"][name]["ill_posed"] for _, row in rows) for name in names}
    yield ""
    yield "Ill-posed: " + ", ".join(f"{count} on {name}" for name, count in posed.items()) + "."


def ended(row: Any) -> str:
    return f"{row['failed'] + row['edges_failed']}, {row['worst_kappa']:.2f}"


def kappa_tables(data: Any) -> Iterator[str]:
    """For each backend and precision, every cell by direction and depth."""
    rows = data["rows"]
    columns = dict.fromkeys((row["direction"], row["depth"]) for row in rows)
    found = {(row["backend"], row["precision"], row["cell"], row["direction"], row["depth"]): row for row in rows}
    for backend, precision in dict.fromkeys((row["backend"], row["precision"]) for row in rows):
        own = [row for row in rows if (row["backend"], row["precision"]) == (backend, precision)]
        posed = sum(row["ill_posed"] for row in own)
        yield f"**{backend}, {precision}**: at most {max(row['kappa'] for row in own):.2f}; " \
              f"{posed} of {len(own) * data['cases']} cases ill-posed"
        yield ""
        yield from table(("cell", *(f"{direction}, {depth} deep" for direction, depth in columns)),
                         ((cell, *(f"{found[backend, precision, cell, *column]['kappa']:.2f}" for column in columns))
                          for cell in dict.fromkeys(row["cell"] for row in own)))  # fmt: skip
        yield ""


def memory_tables(data: Any) -> Iterator[str]:
    def row(first: int, kept: Any) -> tuple[str, ...]:
        names = (name for name in ("plain", "recomputing", "windows") if name in kept)
        return (str(first), *(f"{kept[name] / 1e6:.1f}" for name in names))

    by_steps = (row(each["steps"], each) for each in data["by_steps"])
    by_length = (row(each["length"], each) for each in data["by_length"])
    yield from table(("steps", "plain", "run again", "windows of 64 steps"), by_steps)
    yield ""
    yield from table(("length, at 4,096 steps", "run again", "windows"), by_length)
    yield ""
    yield from table(("windows every 64 steps, back over", "at 1,024 steps", "at 4,096 steps"),
                     ((back, *(f"{row['windows'] / 1e6:.1f}" for row in data["by_back"] if row["back"] == back))
                      for back in dict.fromkeys(row["back"] for row in data["by_back"])))  # fmt: skip


def recomputation_tables(data: Any) -> Iterator[str]:
    yield from table(("backend, f32", "plain, s", "run again, s", "ratio", "its range"),
                     ((row["backend"], f"{row['plain_seconds']:.2f}", f"{row['recomputing_seconds']:.2f}",
                       f"**{row['ratio']:.2f}**", " to ".join(f"{ratio:.2f}" for ratio in row["ratios"]))
                      for row in data["timed"]))  # fmt: skip
    yield ""
    yield from table(("backend", "precision", "kappa, plain", "run again", "allowed", "same bits", "sums too"),
                     ((row["backend"], row["precision"], f"{row['plain_kappa']:.2f}",
                       f"{row['recomputing_kappa']:.2f}", f"{row['allowed']:.2f}", yes(row["bitwise"]),
                       yes(row["bitwise_sums"])) for row in data["judged"]))  # fmt: skip


def yes(held: bool) -> str:
    return "yes" if held else "no"


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


def text_tables(data: Any) -> Iterator[str]:
    """One training of the text example, with its picture."""
    yield from reference_tables(data)
    yield f"\n![The course of training, and lines with what was read](figures/text-{data['task']}.png)"


def reference_tables(data: Any) -> Iterator[str]:
    yield from table(("backend", "characters of test", "wrong", "lines of test", "wrong", "parameters", "steps",
                      "seconds of processor", "validation after each sixth of the rounds"),
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
    yield from table(("backend", "same readings", "test characters wrong", "ms of processor a step", "first losses"),
                     ((row["backend"], f"{row['same_answers']} of {row['lines']}", f"{row['character_error_rate']:.2%}",
                       f"{row['processor_seconds_of_a_step'] * 1e3:.0f}",
                       ", ".join(f"{loss:.5f}" for loss in row["losses"])) for row in data["backends"]))  # fmt: skip


def leaves(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if pairs is None:
        yield name, data
    else:
        for key, value in pairs:
            yield from leaves(f"{name}.{key}" if name else str(key), value)


def scoreboard_tables(data: Any) -> Iterator[str]:
    """Every thing with its columns, and the notes of those that are not green, each with the code that shows it."""
    numbers = {known["reproducer"]: number for number, known in enumerate(data["notes"], 1)}
    yield from table(("framework", "layer", *data["columns"]),
                     ((row["framework"], f"`{row['thing']}`", *(cell(found, numbers) for found in row["cells"]))
                      for row in data["rows"]))  # fmt: skip
    yield ""
    yield from (f"{version}  " for version in data["versions"])
    for number, known in enumerate(data["notes"], 1):
        code = (FOLDER.parent / f"scoreboard/reproducers/{known['reproducer']}.py").read_text()
        reported = f" Reported: {known['reported']}." if known["reported"] else ""
        yield f"\n**{number}. {known['kind'].capitalize()}.** {known['says']}{reported}\n\n```py\n{code}```"


MARKS = {"pass": "yes", "wrong": "**wrong**", "another convention, documented": "other", "refused": "refused",
         "unsupported": "-"}  # fmt: skip


def cell(found: Any, numbers: dict[str, int]) -> str:
    known = found["reproducer"]
    return MARKS[found["verdict"]] + (f" {numbers[known]}" if known else "")


FIGURES = {
    "import": (import_tables, "make bench"),
    "handwriting": (handwriting_tables, "make handwriting"),
    "language": (language_tables, "make language"),
    **{f"speech-{cell}": (speech_tables, "make speech") for cell in ("gru", "lstm")},
    "self-test": (self_test_tables, "make self-test"),
    **{f"speed-{name}": (speed_tables, "make bench") for name in ("numpy", "torch", "jax", "tensorflow")},
    "missed": (missed_tables, "make bench"),
    "stress": (stress_tables, "make stress"),
    "kappa": (kappa_tables, "make kappa"),
    "memory": (memory_tables, "make bench"),
    "recomputation": (recomputation_tables, "make bench"),
    "experiments": (experiments_tables, "make experiments"),
    "detectable": (detectable_tables, "make teeth"),
    "other_suites": (other_suites_tables, "make teeth"),
    "text-digits": (text_tables, "make text"),
    "text-words": (text_tables, "make text"),
    "text-reference": (reference_tables, "make text"),
    "text-reference-words": (reference_tables, "make text"),
    "text-tesseract": (tesseract_tables, "make text"),
    "text-backends": (text_backend_tables, "make text"),
    "scoreboard": (scoreboard_tables, "make scoreboard"),
}
