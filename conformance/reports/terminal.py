"""The report on a terminal: progress while it runs, then a table and one screen of evidence for each failure.

Where standard output is no terminal, each step is a plain line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from conformance.findings.finding import BAD, STATUSES
from conformance.findings.verdict import chosen, spoken
from conformance.processes.deadline import OVER, Deadline
from conformance.reports.asked import left_out, not_asked, of_each
from conformance.reports.likeness import alike, page
from conformance.reports.parts import machines, said
from conformance.reports.ratio import written

__all__ = ["Terminal", "left", "show", "show_self_test"]

COLOURS = {"conforms": "green", "unavailable": "yellow"}
SPEED = ("cell, mode, (batch, time, inputs, hidden)", "/ floor", "95 %", "/ peer", "95 %", "peer", "verdict",
         "compile", "path")  # fmt: skip


class _Left(ProgressColumn):
    """The minutes that are left of the run."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def render(self, task: Task) -> Text:
        return Text(left(self._deadline), style="progress.elapsed")


def left(deadline: Deadline) -> str:
    """The minutes that are left, in words; the empty text where a run has no deadline."""
    return "" if deadline.at is None else f"{deadline.minutes:.1f} minutes left"


def _and(more: str) -> str:
    return f", {more}" if more else ""


@dataclass
class Bench:
    """How far the test of one backend in one precision is."""

    where: str
    laws: int
    task: TaskID
    asked: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    @property
    def progress(self) -> str:
        """The laws that are done, of all; those that were asked once, until all are."""
        once = "" if len(self.asked) == self.laws else f", {len(self.asked)} asked"
        return f"{len(self.done)} of {self.laws} laws done{once}"

    def hear(self, finding: dict[str, Any], labels: int) -> bool:
        """Whether a finding, with so many labels left, is to be told: a law once, when it is done or when it fails."""
        id = finding["id"]
        self.asked.add(id)
        if not labels:
            self.done.add(id)
        new = id not in self.told and (finding["status"] in BAD or not labels)
        self.told |= {id} if new else set()
        return new


class Terminal:
    """Shows the messages of a run as they come: for each backend and precision, how many laws are done, of all."""

    def __init__(self, console: Console, deadline: Deadline | None = None) -> None:
        self._console, self._deadline = console, deadline or Deadline()
        self._benches: dict[tuple[str, int], Bench] = {}
        self._progress = Progress(
            TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), _Left(self._deadline),
            TextColumn("{task.fields[now]}"), console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watch(self, name: str, message: dict[str, Any]) -> None:
        """One message of a backend's process; `place` is that of its precision."""
        key = name, message.get("place", 0)
        match message["event"]:
            case "entry" if key not in self._benches:  # a process that takes over opens it once more
                self._benches[key] = self._begin(f"{name} {message['precision']}", message)
            case "law" if key in self._benches:
                bench = self._benches[key]
                self._progress.update(bench.task, now=f"{message['law']}, {bench.progress}")
            case "finding" if key in self._benches:
                self._finding(self._benches[key], message)
            case "judged":
                bench = self._benches.pop(key)
                self._say(f"{bench.where}: tested in {message['seconds']:.1f} s; {self._left(bench)}")
                self._progress.update(bench.task, now="")
            case "unavailable" | "broken" | "ended":
                self._say(f"{self._benches[key].where if key in self._benches else name}: {message['why']}", "yellow")
            case "measuring":
                self._say(f"{name}: measuring {message['row']}{_and(left(self._deadline))}")
            case "note":
                self._say(f"{name}: {message['why']}", "yellow")

    def _begin(self, where: str, message: dict[str, Any]) -> Bench:
        for loss in message["losses"]:
            self._say(f"{where}: {loss}", "yellow")
        laws = message["expected"]
        return Bench(where, laws, self._progress.add_task(escape(where), total=laws, now=""))

    def _finding(self, bench: Bench, message: dict[str, Any]) -> None:
        finding = message["finding"]
        new = bench.hear(finding, message["left"])
        self._progress.update(bench.task, completed=len(bench.done))
        if new and finding["status"] in BAD:
            law = f"{finding['id']} {finding['status']}, {finding['name']}: {finding['says']}"
            self._say(f"{bench.where}: {law}", "red")
        elif new and not self._console.is_terminal:
            self._say(f"{bench.where}: {finding['id']} {finding['status']} ({finding['examples']} examples, "
                      f"kappa {written(finding['kappa_max'])}); {self._left(bench)}")  # fmt: skip

    def _left(self, bench: Bench) -> str:
        return f"{bench.progress}{_and(left(self._deadline))}"

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
        for missed in entry.get("not_measured", ()):
            console.print(escape(f"{entry['name']}: {missed['row']} was not measured: {missed['why']}"), style="yellow")
    if document["backends"]:
        console.print(_summary(document))
    for entry in document["backends"]:
        if partly := not_asked(entry):
            console.print(f"{escape(entry['name'])} {entry['precision']}: {OVER}: {partly} laws were not asked on all "
                          "of their networks", style="yellow", highlight=False, soft_wrap=True)  # fmt: skip
    _parts(console, document)


def _parts(console: Console, document: dict[str, Any]) -> None:
    """The machines of joined parts, and what is missing; a part that had nothing to test."""
    for kind in machines(document):
        told = f"parts {kind['parts']}, {kind['seconds']} s: {kind['hardware']}; {kind['software']}"
        console.print(escape(told), highlight=False, soft_wrap=True)
    if document.get("parts", {}).get("missing"):
        console.print(f"only {said(document)}", style="red", highlight=False)
    if not document["backends"] and said(document):
        console.print(f"{said(document)}: nothing to test", highlight=False)


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
    law = page(finding["id"])
    for heading, text in (("what this means", finding["failure"]), ("where to start", finding["first"]), ("more", law)):
        if text:
            console.print(escape(f"{heading}: {text}"), highlight=False)
    if finding["reproducer"]:
        console.print(Syntax(finding["reproducer"].rstrip(), "python", background_color="default", word_wrap=True))


def _likenesses(console: Console, entry: dict[str, Any]) -> None:
    """The kinds of faults that the failures look like."""
    if entry["looks_like"]:
        named = escape(f"{entry['name']} {entry['precision']}")
        console.rule(f"[red]{named}: what the failures look like", align="left")
    for found in entry["looks_like"]:
        read = f" Read {page(found['law'])}." if found["law"] else ""
        console.print(escape(f"{alike(found)}{read}"), highlight=False)


def _summary(document: dict[str, Any]) -> Table:
    title = f"conformance, tier {document['tier']}, seed {document['seed']}{_and(said(document))}"
    table = Table(title=f"{title}, {document['seconds']:.0f} s")
    shown = [s for s in STATUSES if any(e["counts"].get(s) for e in document["backends"])]
    asked = ("in all", "examples", "of each", "left out")
    for column in ("backend", "precision", "status", *shown, *asked, "largest kappa", "programs", "memory", "seconds"):
        table.add_column(column, justify="left" if column in ("backend", "precision", "status") else "right")
    for e in document["backends"]:
        colour = COLOURS.get(e["status"], "red")
        counts = [str(e["counts"][status]) for status in (*shown, "expected")]
        memory = f"{e.get('peak_memory', 0) / 1e9:.1f} GB"
        spent = (str(e["examples"]), of_each(e), str(left_out(e)), written(e["kappa_max"]),
                 str(e["programs_compiled"]), memory, f"{e['seconds']:.1f}")  # fmt: skip
        named = escape(f"{e['name']} {e['version']}")
        table.add_row(named, e["precision"], f"[{colour}]{e['status']}", *counts, *spent)
    return table


def _of_part(row: dict[str, Any]) -> str:
    """The part whose machine measured a row, where parts are joined."""
    return f"part {row['part']}" if "part" in row else ""


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
            f"{row['cell']} {row['mode']} {shape}{_and(_of_part(row))}", f"{row['ratio_floor']:.2f}", floor, *peer,
            spoken(row), f"{row['compile_s']:.1f} s", escape(row["path"]),
        )  # fmt: skip
    return table
