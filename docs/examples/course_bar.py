"""How far a course of training is: a bar on a terminal, elsewhere a plain line for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def course_bar(console: Console, unit: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Gives the function to be called after each step that is not done yet, with what is to be said of it."""
    columns = (TextColumn(unit), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[said]}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done, said="")

        def advance(said: str) -> None:
            bar.update(task, advance=1, said=said)
            if not console.is_terminal:
                console.print(f"{unit} {bar.tasks[0].completed:.0f} of {total}: {said}", highlight=False)

        yield advance
