"""The command: `python -m rnnspec info`, `doctor` and `export`, with what rnnspec itself depends on alone."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any, NoReturn

import rnnspec
from rnnspec.contract.version import SPEC_VERSION
from rnnspec.interface.plugins import backend_names
from rnnspec.showing import choice, guided

PROGRAM = "python -m rnnspec"
FLAGS = ("--json", "--version", "--help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 where `doctor` finds a fault, 2 where the command itself is wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in OTHERS:
        other: Any = import_module(OTHERS[words[0]])
        return int(other.main(words[1:]))
    parser = _parser()
    given, unknown = parser.parse_known_intermixed_args(words)
    for flag in unknown:
        parser.error(f"a flag must be one of {', '.join(FLAGS)}, got {flag}; {guided(flag, FLAGS, 'see --help')}")
    command = COMMANDS.get(given.command)
    if command is None:
        known = (*COMMANDS, *OTHERS)
        parser.error(f"the command must be one that is there, got {given.command!r}; {choice(given.command, known)}")
    for name in given.backends:
        if name not in backend_names():
            parser.error(f"a backend must be installed, got {name!r}; {choice(name, backend_names())}")
    return command(tuple(given.backends) or backend_names(), given.json)


def info(names: Sequence[str], as_json: bool) -> int:
    """Say what each backend is and can do, as it is opened; a fault of one is shown, and is no fault of the command."""
    from rnnspec.installation import opening, printed  # noqa: PLC0415  # nothing else needs the whole package

    here = {"rnnspec": rnnspec.__version__, "contract": SPEC_VERSION, "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}"}  # fmt: skip
    if as_json:
        _write([json.dumps({**here, "backends": [asdict(opening.opened(name)) for name in names]}, indent=2)])
        return 0
    _write(["rnnspec {rnnspec}, contract {contract}, Python {python}, {system}".format(**here)])
    for name in names:
        _write(printed.backend(opening.opened(name)))
    return 0


def doctor(names: Sequence[str], as_json: bool) -> int:
    """Say what is wrong with this installation and the command that mends it; 1 where something is."""
    from rnnspec.installation import diagnosis, opening, printed  # noqa: PLC0415

    found = diagnosis.diagnosis(map(opening.opened, names))
    _write([json.dumps(asdict(found), indent=2)] if as_json else printed.diagnosed(found))
    return 1 if found.faults else 0


COMMANDS = {"info": info, "doctor": doctor}
OTHERS = {"export": "rnnspec.export.command"}
"""The commands with arguments of their own, and the modules whose `main` runs them."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="What is installed here, and what is wrong with it.", allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter,
                     epilog="\n".join(f"{name:8}{says}" for name, says in _commands().items()))  # fmt: skip
    parser.add_argument("command", help=" or ".join((*COMMANDS, *OTHERS)))
    parser.add_argument("backends", nargs="*", metavar="backend", help="only these, or all that are offered")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--version", action="version", version=f"rnnspec {rnnspec.__version__}")
    return parser


def _commands() -> dict[str, str]:
    """What each command does; one with arguments of its own says more where it is asked."""
    own = {name: str(command.__doc__) for name, command in COMMANDS.items()}
    return own | {name: f"See `{PROGRAM} {name} --help`." for name in OTHERS}


def _write(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
