"""`python -m conformance join`: one report from those of the parts of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.joining.parts import read
from conformance.joining.report import joined, succeeds
from conformance.reports.console import console
from conformance.reports.files import check_writable, write_all
from conformance.reports.terminal import show
from rnnspec.errors import RnnSpecError

__all__ = ["join"]


def join(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="The reports of all parts, which --json "
                     "wrote.")],
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page with charts.")]
    = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
) -> None:  # fmt: skip
    """Join the reports of the parts of a run, which --part made, into the report of the whole run."""
    outputs = {"json": json, "html": html, "junit": junit, "markdown": markdown}
    check_writable(outputs)
    try:
        parts = read(files)
    except RnnSpecError as error:
        raise typer.BadParameter(str(error)) from error
    document = joined(parts)
    show(console(), document)
    write_all(document, outputs)
    raise typer.Exit(0 if succeeds(parts, document) else 1)
