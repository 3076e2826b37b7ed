"""What was measured of the conformance suite, and by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tables.markdown import table

__all__ = [
    "detectable_tables",
    "kappa_tables",
    "looks_like_tables",
    "other_suites_tables",
    "policy_tables",
    "remembering_tables",
    "scoreboard_tables",
    "self_test_tables",
    "stress_tables",
]

FOLDER = Path(__file__).parents[1] / "figures"


def self_test_tables(data: Any) -> Iterator[str]:
    found = data["self_test"]
    equivalent, survivors = len(found["equivalent"]), len(found["survivors"])
    yield f"{found['mutants']} mutants: {found['killed']} killed, {equivalent} equivalent, {survivors} survived."
    if "signatures" in found:
        rows, patterns = len(found["matrix"]["faults"]), found["signatures"]
        yield f"The kill matrix has {rows} of them. They fail {patterns} different sets of laws."
    for kind in ("equivalent", "survivors"):
        if found[kind]:
            yield ""
            yield from table((kind, "why"), ((row["name"], row["why"]) for row in found[kind]))


def looks_like_tables(data: Any) -> Iterator[str]:
    """How often the true kind is named, in the open half and the hidden one; then by kind."""
    rows = [row for row in data["rows"] if row["shows"]]
    silent = len(data["rows"]) - len(rows)
    yield f"{len(data['rows'])} faults; the laws of the smoke tier do not detect {silent} of them."
    yield ""
    halves = {"open": [row for row in rows if row["open"]], "hidden": [row for row in rows if not row["open"]]}
    yield from table(("half", "detected faults", "true kind named first", "among the three", "`unlike`"),
                     ((name, len(half), _share(half, (1,)), _share(half, (1, 2, 3)),
                       sum(row["named"][0][1] == "unlike" for row in half))
                      for name, half in halves.items()))  # fmt: skip
    yield ""
    sure = {word: [row for row in rows if row["named"][0][1] == word] for word in ("likely", "possible")}
    yield from table(("the first kind is called", "faults", "it is right"),
                     ((f"`{word}`", len(said), _share(said, (1,))) for word, said in sure.items()))  # fmt: skip


def _share(rows: Sequence[Any], places: tuple[int, ...]) -> str:
    right = sum(row["place"] in places for row in rows)
    return f"{right} ({100 * right / max(len(rows), 1):.0f} %)"


def detectable_tables(data: Any) -> Iterator[str]:
    """By precision: the smallest fault that the suite and `assert_close` detect, forward and in a gradient."""
    columns = [f"{what} {who}" for what in ("forward", "gradient") for who in ("suite", "assert_close")]
    yield f"An LSTM of {data['steps']} steps, {data['cases']} cases: the median over the cases, and the largest."
    yield ""
    yield from table(("precision", "unit roundoff", "a state: rnnspec", "a state: `assert_close`",
                      "a gradient: rnnspec", "a gradient: `assert_close`"),
                     ((row["precision"], f"{row['unit']:.1e}", *(defect(found) for column in columns
                       for found in row["found"] if found["what"] == column)) for row in data["rows"]))  # fmt: skip


def defect(found: Any) -> str:
    most = "none" if found["most"] == float("inf") else f"{found['most']:.1e}" if found["most"] else "-"
    median = "none" if found["median"] == float("inf") else f"{found['median']:.1e}" if found["median"] else "-"
    return f"{median}, {most}" + (f"; refuses right answers in {found['refused']} cases" if found["refused"] else "")


def other_suites_tables(data: Any) -> Iterator[str]:
    """How many faults of each kind each suite detects."""
    rows = data["rows"]
    kinds, suites = dict.fromkeys(row["kind"] for row in rows), list(rows[0]["told"])

    def counted(kind: str, chosen: list[Any]) -> tuple[str, ...]:
        return (kind, str(len(chosen)), *(str(sum(row["told"][suite] for row in chosen)) for suite in suites))

    yield from table(("faults of", "faults", *suites),
                     (*(counted(kind, [r for r in rows if r["kind"] == kind]) for kind in kinds), counted("all", rows)))


def remembering_tables(data: Any) -> Iterator[str]:
    """How many cases of a law remember, and the steps that they have."""
    yield from table(("cases of", "cases", "remember", "steps of those that remember"),
                     ((row["law"], str(row["cases"]), str(len(row["remember"])), _range(row["remember"]))
                      for row in data["rows"]))  # fmt: skip


def _range(steps: list[int]) -> str:
    return f"{min(steps)} to {max(steps)}" if steps else "-"


def stress_tables(data: Any) -> Iterator[str]:
    """What was tried at length and what failed; then the cases of each policy."""
    yield from table(("what was tried", "how often", "what came of it"),
                     (says(data[name]) for name, says in STRESS.items() if name in data))  # fmt: skip
    for name, columns in GROUPED.items():
        if name in data:
            yield ""
            yield from table(("backend", *columns.values()), by_backend(data[name]["backends"], columns))
    if "policies" in data:
        yield ""
        yield from policy_tables(data["policies"])


STRESS = {
    "false_alarms": lambda found: ("Right answers to drawn cases are checked by the suite", f"{found['cases']:,} cases",
                                   f"{failures(found['backends'])} false alarms"),
    "sixteen": lambda found: ("Right answers in sixteen bits are checked by the suite",
                              f"{sum(row['cases'] for own in found['backends'].values() for row in own.values()):,} "
                              "cases, of all backends together",
                              f"{failures(found['backends'])} false alarms"),
    "drawn": lambda found: ("Cells are drawn from the primitives and run", f"{found['cells']:,} cells",
                            f"{sum(row['wrong'] for row in found['backends'].values())} wrong"),
    "bad_calls": lambda found: ("Calls are made with one wrong argument", f"{found['calls']:,} calls",
                                f"{found['not_refused']} accepted, {found['classes_that_differ']} raise another class "
                                "of error on another backend"),
    "kill_during_save": lambda found: ("A process is killed while it saves", f"{found['kills']} kills, "
                                       f"{found['inside_a_save']} inside a save", f"{found['torn_files']} torn files, "
                                       f"{found['lost_saves']} lost saves"),
    "kill_during_training": lambda found: ("Training is killed and goes on from its checkpoint",
                                           f"{found['kills']} kills", f"{found['differing']} end with other numbers"),
    "launches": lambda found: ("A worker that torchrun started is killed, and one process goes on from the checkpoint",
                               f"{found['killed']} kills", f"{found['gone_on']} come to the end of the course"),
    "four_workers": lambda found: (f"One of {found['workers']} workers is killed, and all go on from the checkpoint",
                                   f"{found['kills']} kills", f"{found['differing']} end with other numbers; all end "
                                   f"within {found['most_seconds_to_the_end']:.2g} s"),
    "tensorflow_workers": lambda found: (f"One of {found['workers']} workers of TensorFlow is killed, stops, or is "
                                         "more than 30 s late", f"{found['lost']} lost workers",
                                         f"{found['wrong']} wrong numbers, {found['misnamed']} workers are not told "
                                         f"which one; all are told within {found['most_seconds_until_told']:.2g} s"),
    "torch_workers": lambda found: (f"One of {found['workers']} workers of PyTorch is killed or stops, and all go on "
                                    "from the checkpoint", f"{found['lost']} lost workers",
                                    f"{found['unnamed']} workers are not told which one, {found['differing']} end with "
                                    f"other numbers; of a killed one all are told within "
                                    f"{found['most_seconds_until_told']:.2g} s"),
}  # fmt: skip
"""One row for each piece of `make stress` that is a count."""
GROUPED = {
    "false_alarms": {"cases": "cases", "failed": "false alarms", "ill_posed": "ill-posed",
                     "worst_kappa": "worst error"},
    "sixteen": {"cases": "cases", "failed": "false alarms", "ill_posed": "ill-posed", "arrays": "arrays",
                "left_out": "left out", "worst_kappa": "worst error"},
    "drawn": {"cells": "drawn cells", "wrong": "wrong", "raised": "raised", "refused": "refused",
              "ill_posed": "ill-posed", "worst_kappa": "worst error"},
}  # fmt: skip
"""The columns of what is counted for each backend, and precision where there are several."""


def by_backend(backends: Any, columns: Any) -> Iterator[tuple[str, ...]]:
    for backend, found in backends.items():
        rows = {backend: found} if "ill_posed" in found else {f"{backend}, {p}": row for p, row in found.items()}
        yield from ((name, *(f"{row[column]:,}" for column in columns)) for name, row in rows.items())


def failures(backends: Any) -> int:
    return sum(row["failed"] for found in backends.values() for row in found.values())


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
    yield "Ill-posed cases: " + ", ".join(f"{count} on {name}" for name, count in posed.items()) + "."


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
