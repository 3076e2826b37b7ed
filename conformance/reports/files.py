"""The files that a command writes the report to, by the names of their forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from conformance.findings.report import write
from conformance.reports import FORMS

__all__ = ["Outputs", "check_writable", "write_all"]

Outputs = Mapping[str, Path | None]
"""A file for each form that is asked for."""


def check_writable(outputs: Outputs) -> None:
    """Raise BadParameter where a file is in no folder that exists."""
    for form, file in outputs.items():
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise typer.BadParameter(f"--{form} must name a file in a folder that exists, got {file}; "
                                     "make the folder first")  # fmt: skip


def write_all(document: dict[str, Any], outputs: Outputs) -> None:
    """Write each form, whole or not at all."""
    for form, file in outputs.items():
        if file is not None:
            write(FORMS[form](document), file)
