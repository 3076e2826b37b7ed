"""Writes what the pages include: sources, equations and figures, from where they are true.

    python docs/includes.py

A page says `<!-- include: kind argument -->` ... `<!-- end -->`; what stands between is written here. The tests fail on
a page that this would change.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import figure_plots
import gallery
import law_pages
from figure_tables import figures, measured, plot
from tables import command
from tables.markdown import table

import rnnspec
from conformance.statements import THEMES
from rnnspec.convert import Note
from rnnspec.convert.layouts import TABLES
from rnnspec.convert.published_layouts import PUBLISHED
from rnnspec.primitives import PRIMITIVES

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md")))
INCLUDE = re.compile(r"(<!-- include: (\S+) (\S+) -->)(\n?).*?(<!-- end -->)", re.DOTALL)


def included(text: str) -> str:
    """A page with its includes as they are now."""
    return INCLUDE.sub(lambda m: f"{m[1]}{m[4]}{KINDS[m[2]](m[3])}{m[4]}{m[5]}", text)


LANGUAGES = {".py": "python", ".toml": "toml", ".txt": "text", ".yaml": "yaml", ".yml": "yaml", ".sbatch": "bash",
             ".sh": "bash", "": "bash"}  # fmt: skip


def source(path: str) -> str:
    file = ROOT / path
    return f"```{LANGUAGES[file.suffix]}\n{file.read_text()}```"


def latex(name: str) -> str:
    return f"```math\n{getattr(rnnspec.cells, name).latex()}\n```"


def says(path: str) -> str:
    """The docstring of something in rnnspec, as one paragraph."""
    found: Any = functools.reduce(getattr, path.split("."), rnnspec)
    return " ".join(inspect.cleandoc(found.__doc__).split())


def text(module: str) -> str:
    """The docstring of a module of rnnspec, as it stands, without its examples."""
    return f"```text\n{getattr(rnnspec, module).__doc__.split('>>>')[0].strip()}\n```"


def primitives(_: str) -> str:
    rows = ((f"`{name}`", primitive.operands, primitive.says) for name, primitive in PRIMITIVES.items())
    return "\n".join(table(("primitive", "operands", "is"), rows))


def conversions(side: str) -> str:
    """One framework's table of what converts: each tensor with the maps in it, and each row's notes."""
    rows = TABLES[side.replace("_", " ")]
    return "\n".join(table(("layer", "cell", "maps in each tensor", "notes of reading", "notes of writing"),
                           ((f"`{row.kind}`{options(row)}", f"`cells.{row.cell.name}`", tensors(row),
                             names(row.read_notes()), names(row.written_notes())) for row in rows)))  # fmt: skip


def published(_: str) -> str:
    """The published layers: each tensor with the maps in it, and its axes."""
    rows = ((f"`{kind}`", f"`cells.{row.cell.name}`",
             "<br>".join(f"`{name}`: {held.maps}, axes `{held.axes}`" for name, held in row.tensors.items()))
            for kind, row in PUBLISHED.items())  # fmt: skip
    return "\n".join(table(("layer", "cell", "maps and axes of each tensor"), rows))


def tensors(row: Any) -> str:
    return "<br>".join(f"`{tensor}`: {maps}" for tensor, maps in row.tensors.items())


def options(row: Any) -> str:
    return "".join(f", `{name}={value}`" for name, value in row.options.items())


def names(notes: Iterable[Note]) -> str:
    return ", ".join(f"`{note.name}`" for note in notes)


def notes(_: str) -> str:
    return "\n".join(table(("note", "level", "says"), ((f"`{n.name}`", n.level.value, n.value) for n in Note)))


def initialisers(_: str) -> str:
    names = sorted(name for name in rnnspec.initialisers.__all__ if name != "Initialiser")
    return "\n".join(table(("initialiser", "is"), ((f"`{name}`", says(f"initialisers.{name}")) for name in names)))


def laws(_: str) -> str:
    """The themes of the laws; each law has a page of its own."""
    rows = ((theme.title, theme.says, len(theme.statements)) for theme in THEMES)
    return "\n".join(table(("theme", "says", "laws"), rows))


KINDS = {"source": source, "latex": latex, "says": says, "text": text, "primitives": primitives,
         "initialisers": initialisers, "laws": laws, "figures": figures, "conversions": conversions,
         "published": published, "notes": notes, "measured": measured, "plot": plot,
         "command": command.flags, "exits": command.exits}  # fmt: skip


if __name__ == "__main__":
    gallery.write()
    figure_plots.write()
    for page in PAGES:
        page.write_text(included(page.read_text()))
    law_pages.write()
