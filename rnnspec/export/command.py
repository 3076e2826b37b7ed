"""The command `python -m rnnspec export net.safetensors --to numpy -o net.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rnnspec.errors import RnnSpecError
from rnnspec.export.exported import Exported
from rnnspec.export.settings import PRECISIONS
from rnnspec.export.targets import TARGETS, Target
from rnnspec.showing import choice, guided
from rnnspec.storage import load

__all__ = ["main"]

PROGRAM = "python -m rnnspec export"


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a saved network; the exit status is 0, or 2 where the command, the file or the network is wrong."""
    parser = _parser()
    given, unknown = parser.parse_known_args(arguments)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for flag in unknown:
        parser.error(f"a flag must be one of {', '.join(flags)}, got {flag}; {guided(flag, flags, 'see --help')}")
    target = TARGETS.get(given.to)
    if target is None:
        parser.error(f"--to must name a target, got {given.to!r}; {choice(str(given.to), TARGETS)}")
    out = Path(given.out or Path(given.file).with_suffix(target.ending))
    if out.suffix != target.ending:
        parser.error(f"-o must name a file that ends in {target.ending}, got {out}; write {out.stem}{target.ending}")
    if not out.absolute().parent.is_dir():
        parser.error(f"-o must name a file in a folder that exists, got {out}; make the folder first")
    try:
        net, params = load(given.file)
        named = {"name": out.stem} if target.is_named else {}
        exported = target.export(net, params, **named, **_options(parser, given, target))
        paths = exported.save(out)
    except (RnnSpecError, OSError) as error:
        parser.error(str(error))
    for line in _said(exported, paths):
        print(line, flush=True)
    return 0


def _options(parser: argparse.ArgumentParser, given: argparse.Namespace, target: Target) -> dict[str, Any]:
    """The options that were given; one that the target lacks is an error."""
    found = {name: value for name, value in vars(given).items() if value and name not in ("file", "to", "out")}
    for name in found:
        if name not in target.options:
            takes = ", ".join(f"--{option.replace('_', '-')}" for option in target.options) or "none"
            parser.error(f"--to {given.to} must be given its own options, {takes}, got --{name.replace('_', '-')}; "
                         "leave it out")  # fmt: skip
    return found


def _said(exported: Exported, paths: Sequence[Path]) -> list[str]:
    lines = [f"wrote {path}, {path.stat().st_size} bytes" for path in paths]
    if exported.error is not None:
        difference = exported.error
        lines.append(f"8-bit weights: outputs of up to {difference.output:.2g} change by up to "
                     f"{difference.largest:.1e}, over drawn inputs")  # fmt: skip
    return [*lines, *exported.notes]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Write a saved network as a program that needs no rnnspec.",
                     allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                     epilog="\n".join(f"{name:10}{target.says}" for name, target in TARGETS.items()))  # fmt: skip
    parser.add_argument("file", help="a file of rnnspec.save")
    parser.add_argument("--to", help=" or ".join(TARGETS))
    parser.add_argument("-o", "--out", metavar="OUT", help="the file to write; else beside the network's")
    parser.add_argument("--precision", metavar="NAME", help=f"{' or '.join(PRECISIONS)}; f32 where it is left out")
    parser.add_argument("--beside", action="store_true", help="weights in a file of their own")
    parser.add_argument("--int8", action="store_true", help="matrices in 8 bits, each row with a scale")
    parser.add_argument("--steps", type=int, metavar="N", help="the number of steps of every call; else any")
    parser.add_argument("--batch", type=int, metavar="N", help="the number of rows of every call; else any")
    parser.add_argument("--text", action="store_true", help="StableHLO as text too, in a file of its own")
    parser.add_argument("--operators", action="store_true", help="layers as LSTM, GRU or RNN of ONNX")
    parser.add_argument("--most-steps", type=int, metavar="N", help="the longest sequence of a network that also reads "
                        "backwards")  # fmt: skip
    return parser
