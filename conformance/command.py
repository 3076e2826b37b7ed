"""The command line: what the suite tests, where the report goes, and the exit status.

0: every backend conforms; 1: something fails, crashes, hangs or did not run; 2: the command itself is wrong.
"""

from __future__ import annotations

import importlib
import time
from enum import StrEnum
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from conformance.cases import load_cell
from conformance.exported import KINDS, PREFIX
from conformance.findings.entry import Entry
from conformance.findings.report import conforms, failures, report
from conformance.joining.command import join
from conformance.joining.origin import Origin
from conformance.modules.form import read
from conformance.modules.spec import check
from conformance.part import Part
from conformance.processes.deadline import Deadline
from conformance.processes.limits import Limits
from conformance.registry import Shape, properties
from conformance.reports.console import console as the_console
from conformance.reports.files import check_writable, write_all
from conformance.reports.terminal import Terminal, show, show_self_test
from conformance.running.runner import Plan, run
from conformance.selection import Selection
from rnnspec import backend_names
from rnnspec.errors import RnnSpecError
from rnnspec.interface.plugins import problems
from rnnspec.showing import choice, guided

__all__ = ["main"]

ALL = "all"

class TierName(StrEnum):
    """The keys of `conformance.tiers.TIERS`."""

    smoke = "smoke"
    default = "default"
    deep = "deep"


class ModeName(StrEnum):
    """What a call computes."""

    forward = "forward"
    train = "train"


class LackName(StrEnum):
    """The capabilities that a module may lack."""

    lengths = "lengths"
    empty_rows = "empty_rows"
    any_padding = "any_padding"
    gradients = "gradients"
    deterministic = "deterministic"
    resets = "resets"
    states = "states"
    extremes = "extremes"


class PrecisionName(StrEnum):
    """The keys of `conformance.tolerance.PROFILES`."""

    f64 = "f64"
    f32 = "f32"
    bf16 = "bf16"
    f16 = "f16"


HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=HELP)


app.command("join")(join)


@app.callback(invoke_without_command=True)
def conformance(  # noqa: PLR0913, PLR0917  # one argument for each option
    context: typer.Context,
    backend: Annotated[list[str] | None, typer.Option(help="Test this backend; `all`, the default, tests every "
                       "installed one. Repeatable.")] = None,
    module: Annotated[list[str] | None, typer.Option(metavar="package:Thing", help="Test a PyTorch module, a "
                      "Keras layer, a Flax nnx module or an ONNX file. Repeatable.")] = None,
    op: Annotated[list[str] | None, typer.Option(metavar="package:function", help="Test a function of named arrays, "
                  "of PyTorch, JAX or NumPy. Repeatable.")] = None,
    exported: Annotated[list[str] | None, typer.Option(metavar="TARGET", help="Test what `python -m rnnspec "
                        f"export` writes: {', '.join(KINDS)}. Repeatable.")] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="CELL", help="The cell that --module or --op must compute: "
                   "a name, or module:name.")] = None,
    without: Annotated[list[LackName] | None, typer.Option(help="A capability that --module or --op lacks. "
                       "Repeatable.")]
    = None,
    layout: Annotated[str, typer.Option(metavar="package:NAME", help="The mapping or Layout that says "
                      "which maps of the cell each parameter of --module holds.")] = "",
    form: Annotated[str, typer.Option(metavar="TEXT", help='What --module is given and returns, such as '
                    '"x, (h, c) -> y, (h, c)".')] = "",
    tier: Annotated[TierName, typer.Option(help="smoke: correctness within a minute. default: also speed. deep: "
                   "many, long and large cases.")] = TierName.default,
    seed: Annotated[int, typer.Option(min=0, help="Random cases follow from this number.")] = 0,
    examples: Annotated[int | None, typer.Option(min=1, help="Test this many cases of each law on each network.")]
    = None,
    device: Annotated[str | None, typer.Option(help="Run on this device. Default: the backend's first.")] = None,
    precision: Annotated[list[PrecisionName] | None, typer.Option(help="Test this precision. Default: f32 and f64. "
                         "Repeatable.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="Test only this law, such as P11. Repeatable.")]
    = None,
    cell: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Test only this cell: a name, or module:name. "
                    "Repeatable.")] = None,
    shape: Annotated[list[str] | None, typer.Option(metavar="B,T,I,H", help="Test only this batch, time, inputs and "
                     "hidden size. Repeatable.")] = None,
    mode: Annotated[list[ModeName] | None, typer.Option(help="forward: laws of values. train: laws of gradients. "
                    "Repeatable.")] = None,
    minutes: Annotated[float | None, typer.Option(metavar="NUMBER", min=0.01, help="End the run after so many minutes, "
                       "whatever is not yet asked. Default: 12 in the tier default, no limit in the others.")] = None,
    part: Annotated[str | None, typer.Option(metavar="NUMBER/OF", help="Test one of so many parts of the run, such as "
                    "3/16, and no other. `join` makes one report of all.")] = None,
    after: Annotated[Path | None, typer.Option(metavar="FILE", help="Begin with the laws and networks that failed in "
                     "this earlier report, which --json wrote, with four times the cases.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page with charts.")]
    = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Test correctness only.")] = False,
    speed_only: Annotated[bool, typer.Option("--speed-only", help="Measure speed only.")] = False,
    require_speed: Annotated[bool, typer.Option("--require-speed", help="Fail a backend that is slower than "
                             "any of its peers.")] = False,
    self_test: Annotated[bool, typer.Option("--self-test", help="Test the suite itself: its laws must "
                         "detect backends with a planted fault.")] = False,
    xfails: Annotated[Path | None, typer.Option(metavar="FILE", help="Read laws that are expected to fail, one "
                      "line `ID reason` for each.")] = None,
    patience: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="End a backend that gives no sign "
                        "of life for this long.")]
    = Limits.silence,
    memory: Annotated[float, typer.Option(metavar="GB", min=0.1, help="End a backend that uses more memory than this.")]
    = Limits.memory / 1e9,
    show_list: Annotated[bool, typer.Option("--list", help="List backends and laws, and run nothing.")] = False,
) -> None:
    """Test whether backends conform to the specification: the same numbers, the same gradients, and how fast."""
    if context.invoked_subcommand:
        _alone(context)
        return
    console = the_console()
    if show_list:
        _list(console)
        return
    if no_speed and speed_only:
        raise typer.BadParameter("--no-speed and --speed-only together leave nothing to do; choose one")
    files = {"json": json, "html": html, "junit": junit, "markdown": markdown}
    check_writable(files)
    shared = _part(part, self_test)
    if self_test:
        raise typer.Exit(_self_test(console, seed, tier, files))
    selection = Selection(
        tier, seed, examples, device, tuple(precision or ()), _ids(only or []), _cells(cell or []),
        tuple(map(_shape, shape or ())), tuple(mode or ()), _xfails(xfails),
        _as_cell(as_, [*(module or ()), *(op or ())]), _lacks(without or [], op), _layout(layout, module),
        _form(form, module, as_), operators := _modules(op or [], "--op"), _failed(after),
        shared,
    )  # fmt: skip
    modules = _modules(module or []) + operators + _exported(exported or [])
    backends = backend or ([] if modules else [ALL])
    names = _names(backends) + modules
    _say_problems(console)
    begun, deadline = time.perf_counter(), Deadline.within(minutes or selection.depth.minutes)
    with Terminal(console, deadline) as terminal:
        limits = Limits(patience, int(memory * 1e9))
        entries = run(Plan(names, selection, not speed_only, not no_speed, limits, deadline), terminal.watch)
    named = modules if ALL in backends else names
    asked = {"names": names, "named": named, "speed": not no_speed, "correctness": not speed_only,
             "require_speed": require_speed}  # fmt: skip
    origin = {"part": Origin.here(selection, **asked)} if shared else {}
    document = report(entries, seed, tier, time.perf_counter() - begun, **origin)
    show(console, document)
    write_all(document, files)
    raise typer.Exit(0 if conforms(document, named, require_speed) else 1)


def main() -> None:
    """Run the command."""
    app(prog_name="python -m conformance")


def _self_test(console: Console, seed: int, tier: str, files: dict[str, Path | None]) -> int:
    begun = time.perf_counter()
    found = importlib.import_module("conformance.mutants").self_test(_earlier(files["json"]))
    entries: list[Entry] = []
    document = report(entries, seed, tier, time.perf_counter() - begun, found)
    show_self_test(console, found)
    write_all(document, files)
    return 0 if conforms(document) else 1


def _earlier(file: Path | None) -> dict[str, Any]:
    """The earlier self-test in the same file; nothing if there is none that can be read."""
    try:
        return dict(loads(file.read_text(encoding="utf-8"))["self_test"]) if file else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _list(console: Console) -> None:
    console.print("backends: " + ", ".join(backend_names()), highlight=False)
    _say_problems(console)
    for law in properties():
        needs = f" (needs {', '.join(sorted(law.needs))})" if law.needs else ""
        console.print(f"{law.id}  {law.name}: {law.says}{needs}", markup=False, highlight=False, soft_wrap=True)


def _say_problems(console: Console) -> None:
    for problem in problems():
        console.print(str(problem), style="yellow", markup=False, highlight=False, soft_wrap=True)


def _names(given: list[str]) -> tuple[str, ...]:
    known = backend_names()
    for name in given:
        if name not in (*known, ALL):
            raise typer.BadParameter(f"--backend must name an installed backend, got {name!r}; "
                                     f"{choice(name, (*known, ALL))}")  # fmt: skip
    return known if ALL in given else tuple(dict.fromkeys(given))


def _modules(given: list[str], option: str = "--module") -> tuple[str, ...]:
    for spec in given:
        try:
            check(spec)
        except LookupError as error:
            raise typer.BadParameter(f"{option}: {error}") from error
    return tuple(dict.fromkeys(given))


def _exported(given: list[str]) -> tuple[str, ...]:
    for kind in given:
        if kind not in KINDS:
            raise typer.BadParameter(f"--exported must name a target, got {kind!r}; {choice(kind, KINDS)}")
    return tuple(f"{PREFIX}{kind}" for kind in dict.fromkeys(given))


def _as_cell(given: str | None, modules: list[str] | None) -> str:
    if bool(given) != bool(modules):
        raise typer.BadParameter("--module, or --op, and --as belong together: name the cell that it is, such as lstm")
    return _cell(given) if given else ""


def _layout(given: str, modules: list[str] | None) -> str:
    if given and not modules:
        raise typer.BadParameter("--layout describes a module: name it with --module and --as")
    if given:
        try:
            check(given)
        except LookupError as error:
            raise typer.BadParameter(f"--layout: {error}") from error
    return given


def _form(given: str, modules: list[str] | None, cell: str | None) -> str:
    if given and not modules:
        raise typer.BadParameter("--form describes a module: name it with --module and --as")
    if given:
        try:
            read("--form", given, load_cell(cell).states if cell else None)
        except RnnSpecError as error:
            raise typer.BadParameter(str(error)) from error
    return given


def _lacks(given: list[LackName], operators: list[str] | None) -> tuple[str, ...]:
    own = [name for name in (LackName.states, LackName.extremes) if name in given]
    if own and not operators:
        raise typer.BadParameter(f"--without {own[0]} is for --op, got none; leave it out")
    return tuple(given)


def _ids(given: list[str]) -> tuple[str, ...]:
    known = [law.id for law in properties()]
    for id in given:
        if id not in known:
            raise typer.BadParameter(f"--only must name a law, got {id!r}; {guided(id, known, 'see --list')}")
    return tuple(given)


def _cell(name: str) -> str:
    try:
        load_cell(name)
    except LookupError as error:
        raise typer.BadParameter(str(error)) from error
    return name


def _cells(given: list[str]) -> tuple[str, ...]:
    """Labels name cells, so that no two may have one name."""
    by_name: dict[str, str] = {}
    for asked in map(_cell, given):
        name = load_cell(asked).name
        if by_name.setdefault(name, asked) != asked:
            raise typer.BadParameter(f"--cell must name cells of different names, got {by_name[name]!r} and {asked!r}, "
                                     f"both {name!r}; rename one")  # fmt: skip
    return tuple(given)


def _shape(text: str) -> Shape:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"--shape must be batch,time,inputs,hidden, got {text!r}; write four whole numbers")
    return Shape(*map(int, parts))


def _xfails(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    if not file.is_file():
        raise typer.BadParameter(f"--xfails must name a file, got {file}; write one with lines `ID reason`")
    known = {law.id for law in properties()}
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        id, _, reason = line.partition("#" if line.startswith("#") else " ")
        if not id.strip():
            continue
        if id not in known or not reason.strip():
            raise typer.BadParameter(f"--xfails: every line must be a law's id and a reason, got {line!r} "
                                     f"in line {number}; see --list for the ids")  # fmt: skip
        found[id] = reason.strip()
    return found


def _failed(file: Path | None) -> dict[str, dict[str, list[str]]]:
    try:
        return failures(loads(file.read_text(encoding="utf-8"))) if file else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"--after must name a report that --json wrote, got {file} ({type(error).__name__}); "
                                 "leave it out for the first run") from error  # fmt: skip


def _part(given: str | None, self_test: bool) -> Part | None:
    if given and self_test:
        raise typer.BadParameter("--part splits a run of the laws, got --self-test; leave one of them out")
    try:
        return Part.read(given) if given is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"--part must be one of some parts, counted from 1, got {given!r}; write it as "
                                 "3/16") from error  # fmt: skip


def _alone(context: typer.Context) -> None:
    """Refuse options before a sub-command, which would do nothing."""
    sources = ((name, context.get_parameter_source(name)) for name in context.params)
    given = [name for name, source in sources if source and source.name == "COMMANDLINE"]
    if given:
        raise typer.BadParameter(f"{context.invoked_subcommand} has options of its own, got --{given[0]} before it; "
                                 "see --help")  # fmt: skip
