"""Draws the picture of a report that the README shows: the table that the command ends with, as a terminal shows it.

    python -m conformance --tier smoke --json report.json
    python docs/figures/report.py report.json docs/figures/report.svg
"""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from conformance.reports.terminal import show

COLUMNS = 140
TITLE = "python -m conformance"
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich's page asks another server for its font; a picture in a page may not."""


def picture(document: dict) -> str:
    """A report's table as SVG; the same report gives the same bytes."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    show(console, document)
    drawn = console.export_svg(title=f"{TITLE} --tier {document['tier']}", theme=MONOKAI, unique_id="report")
    return "\n".join(line.rstrip() for line in FONTS.sub("", drawn).splitlines()) + "\n"


def main() -> None:
    """Read a report, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="what `python -m conformance --json` wrote")
    parser.add_argument("svg", type=Path)
    given = parser.parse_args()
    given.svg.write_text(picture(json.loads(given.report.read_text())))


if __name__ == "__main__":
    main()
