"""The report on a terminal: progress while it runs, then a table and one screen of evidence for each failure.

Where standard output is no terminal, each step is a plain line.
"""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table

from conformance.findings.finding import BAD, STATUSES
from conformance.findings.verdict import chosen, spoken
from conformance.reports.asked import left_out, of_each
from conformance.reports.ratio import written

__all__ = ["Terminal", "show", "show_self_test"]

COLOURS = {"conforms": "green", "unavailable": "yellow"}
SPEED = ("cell, mode, (batch, time, inputs, hidden)", "/ floor", "95 %", "/ peer", "95 %", "peer", "verdict",
         "compile", "path")  # fmt: skip


class Terminal:
    """Shows the messages of a run as they come."""

    def __init__(self, console: Console) -> None:
        self._console, self._where = console, {"": ""}
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"), console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watch(self, name: str, message: dict[str, Any]) -> None:
        """One message of a backend's process."""
        match message["event"]:
            case "entry":
                self._where[name] = f"{name} {message['precision']}"
                shown = escape(self._where[name])
                self._tasks[name] = self._progress.add_task(shown, total=message["expected"], now="")
                for loss in message["losses"]:
                    self._say(f"{self._where[name]}: {loss}", "yellow")
            case "law" if name in self._tasks:
                self._progress.update(self._tasks[name], now=message["law"])
            case "finding":
                self._finding(name, message["finding"])
            case "judged":
                self._say(f"{self._where[name]}: tested in {message['seconds']:.1f} s")
                self._progress.update(self._tasks[name], now="")
            case "unavailable" | "broken" | "ended":
                self._say(f"{self._where.get(name, name)}: {message['why']}", "yellow")
            case "measuring":
                self._say(f"{name}: measuring {message['row']}")
            case "note":
                self._say(f"{name}: {message['why']}", "yellow")

    def _finding(self, name: str, finding: dict[str, Any]) -> None:
        if name in self._tasks:
            self._progress.advance(self._tasks[name])
        if finding["status"] in BAD:
            law = f"{finding['id']} {finding['status']}, {finding['name']}: {finding['says']}"
            self._say(f"{self._where[name]}: {law}", "red")
        elif not self._console.is_terminal:
            self._say(f"{self._where[name]}: {finding['id']} {finding['status']} ({finding['examples']} examples, "
                      f"kappa {written(finding['kappa_max'])})")  # fmt: skip

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(escape(text), style=style, highlight=False, soft_wrap=True)


def show(console: Console, document: dict[str, Any]) -> None:
    """The report: evidence first, the table last, where the eye is."""
    for entry in document["backends"]:
        for finding in entry["properties"]:
            if finding["status"] in BAD:
                _evidence(console, entry, finding)
        _likenesses(console, entry)
    for entry in document["backends"]:
        if entry["speed"]:
            console.print(_speed(entry))
        for row in entry.get("choices", ()):
            console.print(escape(chosen(row)), highlight=False, soft_wrap=True)
    if document["backends"]:
        console.print(_summary(document))


def show_self_test(console: Console, found: dict[str, Any]) -> None:
    """How many mutants the laws detect, and those that none detects."""
    equivalent = len(found["equivalent"])
    console.print(f"self-test: the laws detect {found['killed']} of {found['mutants']} mutants (backends with one "
                  f"planted fault), {equivalent} proved equivalent; {found['signatures']} different patterns of laws "
                  "that fail")  # fmt: skip
    console.print(_kills(found["matrix"]))
    for survivor in found["survivors"]:
        console.print(f"  not detected: {escape(survivor['name'])}: {escape(survivor['why'])}", style="red")


def _kills(matrix: dict[str, Any]) -> Table:
    """How many faults of each kind every law detects: the kill matrix, by kinds."""
    table = Table(title="faults that each law detects, of all faults of each kind")
    kinds: dict[str, list[int]] = {}
    for fault in matrix["faults"]:
        kinds.setdefault(fault["cell"] or fault["name"].partition(":")[0], []).append(int(fault["told_by"], 16))
    for column in ("law", *(f"{kind} {len(rows)}" for kind, rows in kinds.items())):
        table.add_column(column, justify="left" if column == "law" else "right")
    for i, law in enumerate(reversed(matrix["laws"])):
        table.add_row(law, *(str(sum(row >> i & 1 for row in rows) or "") for rows in kinds.values()))
    return table


def _evidence(console: Console, entry: dict[str, Any], finding: dict[str, Any]) -> None:
    named = escape(f"{entry['name']} {entry['precision']}")
    console.rule(f"[red]{named}: {finding['id']} {finding['status']}, {escape(finding['name'])}", align="left")
    console.print(escape(finding["says"]), style="bold")
    labels = [label for label, status in finding["labels"].items() if status in BAD]
    if labels:
        tried = len(finding["labels"])
        console.print(escape(f"fails on {', '.join(labels)} ({len(labels)} of {tried} networks)"), highlight=False)
    evidence = finding["evidence"]
    if evidence:
        place = f" at {evidence['where']}" if evidence["where"] else ""
        console.print(escape(f"{evidence['what']}{place}"), highlight=False)
        console.print(escape(f"  got       {evidence['got']}\n  expected  {evidence['expected']}"), highlight=False)
        if evidence["tau"] is not None:
            kappa = written(evidence["kappa"])
            console.print(f"  tau       {evidence['tau']:.3g} (the yardstick)\n  kappa     {kappa} (the error in "
                          f"yardsticks), at most {evidence['allowed']:.3g} passes", highlight=False)  # fmt: skip
    elif finding["why"]:
        console.print(escape(finding["why"]), highlight=False)
    for heading, text in (("what this means", finding["failure"]), ("where to start", finding["first"])):
        if text:
            console.print(escape(f"{heading}: {text}"), highlight=False)
    if finding["reproducer"]:
        console.print(Syntax(finding["reproducer"].rstrip(), "python", background_color="default", word_wrap=True))


def _likenesses(console: Console, entry: dict[str, Any]) -> None:
    """The known faults that fail the same properties."""
    for i, found in enumerate(entry["looks_like"]):
        if i == 0:
            named = escape(f"{entry['name']} {entry['precision']}")
            console.rule(f"[red]{named}: known faults that fail the same laws", align="left")
        others = f", and {len(found['others'])} more" if found["others"] else ""
        text = f"{found['alike']:4.0%} alike: {found['says']} ({found['fault']}{others})"
        console.print(escape(text), highlight=False)


def _summary(document: dict[str, Any]) -> Table:
    table = Table(title=f"conformance, tier {document['tier']}, seed {document['seed']}, {document['seconds']:.0f} s")
    shown = [s for s in STATUSES if any(e["counts"][s] for e in document["backends"])]
    asked = ("in all", "examples", "of each", "left out")
    for column in ("backend", "precision", "status", *shown, *asked, "largest kappa", "programs", "seconds"):
        table.add_column(column, justify="left" if column in ("backend", "precision", "status") else "right")
    for e in document["backends"]:
        colour = COLOURS.get(e["status"], "red")
        counts = [str(e["counts"][status]) for status in (*shown, "expected")]
        spent = (str(e["examples"]), of_each(e), str(left_out(e)), written(e["kappa_max"]),
                 str(e["programs_compiled"]), f"{e['seconds']:.1f}")  # fmt: skip
        named = escape(f"{e['name']} {e['version']}")
        table.add_row(named, e["precision"], f"[{colour}]{e['status']}", *counts, *spent)
    return table


def _speed(entry: dict[str, Any]) -> Table:
    named = escape(f"{entry['name']} {entry['precision']}")
    table = Table(title=f"speed of {named}: its time divided by the floor's and by the peer's")
    for column in SPEED:
        table.add_column(column)
    for row in entry["speed"]:
        shape = ",".join(str(row["shape"][axis]) for axis in ("batch", "time", "inputs", "hidden"))
        floor, interval = (f"{low:.2f} to {high:.2f}" for low, high in (row["ci_floor"], row["ci"]))
        peer = (f"{row['ratio_peer']:.2f}", interval, row["peer"]) if row["peer"] else ("", "", "none")
        table.add_row(
            f"{row['cell']} {row['mode']} {shape}", f"{row['ratio_floor']:.2f}", floor, *peer,
            spoken(row), f"{row['compile_s']:.1f} s", escape(row["path"]),
        )  # fmt: skip
    return table
