"""What was measured of recurrent code that other people publish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tables.markdown import table

__all__ = ["kernelbench_tables", "published_tables"]

SCOREBOARD = Path(__file__).parents[1] / "scoreboard"


def kernelbench_tables(data: Any) -> Iterator[str]:
    """Every wrong kernel on every problem, and whether the suite refuses it; then the problems."""
    numbers = [problem["number"] for problem in data["problems"]]
    found = {(row["kernel"], row["problem"]): row for row in data["rows"]}
    yield from table(("the kernel", *(f"#{number}" for number in numbers), "rnnspec"),
                     ((says, *(difference(found.get((name, number))) for number in numbers), verdict(data, name))
                      for name, says in data["kernels"].items()))  # fmt: skip
    yield ""
    yield from table(("problem", "steps", "what it is"),
                     ((f"#{problem['number']}", str(problem["steps"]), problem["name"])
                      for problem in data["problems"]))  # fmt: skip
    yield ""
    yield f"Tolerance {data['tolerance']:g}, seed {data['seed']}, {data['version']}."


def difference(row: Any) -> str:
    """The largest difference, and whether the tolerance accepts it; a dash where the kernel is right."""
    if row is None:
        return "-"
    shown = f"{row['difference']:.0e}"
    return f"**{shown}, accepted**" if row["accepted"] else shown


def verdict(data: Any, kernel: str) -> str:
    """What the suite says of a wrong kernel on each cell."""
    rows = [row for row in data["suite"] if row["kernel"] == kernel]
    laws = sorted({law for row in rows for law in row["refused_by"]})
    passed = [row["cell"] for row in rows if not row["refused_by"]]
    links = ", ".join(map(link, laws))
    return ", ".join([f"refused by {links}"] * bool(laws) + [f"accepted as {' and '.join(passed)}"] * bool(passed))


def link(law: str) -> str:
    return f"[{law}](laws/{law}.md)"


def published_tables(data: Any) -> Iterator[str]:
    """A row for each thing; then what is wrong with those that are not right, each with the code that shows it."""
    titles = {note["code"]: note["title"] for note in data["notes"]}
    yield from table(("package", "version", "what", "verdict"),
                     ((row["package"], row["version"] or "-", f"`{row['thing']}`", in_words(row, titles))
                      for row in data["rows"]))  # fmt: skip
    for note in data["notes"]:
        code = (SCOREBOARD / f"cases/{note['code']}.py").read_text()
        yield f"\n### {note['title']}\n\n{note['says']}\n\n```py\n{code}```"
    yield "\n### The commands\n"
    yield from table(("command", "laws that fail"),
                     ((f"`{row['command']}`", ", ".join(failed(law) for law in row["fails"]) or "none")
                      for row in data["rows"] if row["command"]))  # fmt: skip


def failed(law: str) -> str:
    """A law that fails, such as `P01 in f32`, with its link."""
    name, _, precision = law.partition(" ")
    return f"{link(name)} {precision}"


def in_words(row: Any, titles: dict[str, str]) -> str:
    """The verdict, with links to its details."""
    links = ", ".join(f"[details](#{anchor(titles[code])})" for code in row["notes"])
    return row["verdict"] + (f" ({links})" if links else "")


def anchor(title: str) -> str:
    """The address of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
