"""The flags of `python -m conformance`, and its exit status, as the command itself declares them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from enum import EnumMeta, StrEnum
from typing import Any

from tables.markdown import table

from conformance import command
from conformance.processes import limits

__all__ = ["exits", "flags"]

OF_THE_MACHINE = {"memory": f"{limits.SHARE / limits.AT_A_TIME:.0%} of the machine's"}
"""Defaults that are other numbers on another machine."""

VALUES = {int: "NUMBER", float: "NUMBER"}


COMMANDS = {"conformance": command.conformance, "join": command.join}


def flags(name: str) -> str:
    return "\n".join(table(("flag", "what it does", "default"), _rows(COMMANDS[name])))


def exits(_: str) -> str:
    line = command.__doc__.strip().splitlines()[-1].removesuffix(".")
    return "\n".join(table(("exit status", "means"), (part.strip().split(": ", 1) for part in line.split(";"))))


def _rows(function: Any) -> Iterator[tuple[str, str, str]]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is inspect.Parameter.empty:  # no option: the context, or an argument
            continue
        kind, option = typing.get_args(hints[name])
        said = option.default if isinstance(option.default, str) else None  # typer keeps a flag of another name there
        flag = said or f"--{name.replace('_', '-')}"
        plain = _plain(kind)
        value = "" if plain is bool else f" {option.metavar or VALUES.get(plain, 'NAME')}"
        default = OF_THE_MACHINE.get(name, _default(parameter.default))
        yield f"`{flag}{value}`", option.help + _choices(plain), default


def _choices(plain: Any) -> str:
    return f" One of {', '.join(f'`{choice.value}`' for choice in plain)}." if isinstance(plain, EnumMeta) else ""


def _plain(kind: Any) -> Any:
    """The type of one value, of which there may be none or several."""
    inner = [part for part in typing.get_args(kind) if part is not type(None)]
    return _plain(inner[0]) if inner else kind


def _default(value: Any) -> str:
    return "" if value is None or value is False else f"`{value.value if isinstance(value, StrEnum) else value}`"
