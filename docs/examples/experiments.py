"""Shows which cures for vanishing and exploding gradients work: twenty runs on tasks that need a long memory.

    python docs/examples/experiments.py --json docs/figures/experiments.json --checkpoints .experiments

Runs that the file holds are not repeated, and one that was killed goes on from its last checkpoint to the same numbers.
As many run at a time as there are processors, each on one: products of this size are too small to be shared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import Manager, get_context, parent_process
from pathlib import Path
from typing import Annotated, Any

import typer
from memory_runs import EXPERIMENTS, Course, Run, Training, row
from memory_tasks import Adding, Copying
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import rnnspec

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Read by a process when it loads NumPy or PyTorch."""
QUICK = {Adding(200): Adding(8), Adding(100): Adding(4), Copying(100): Copying(2)}

Row = dict[str, Any]
Show = Callable[[str, int, float], None]
"""Told of a run's name, step and error."""


def trainings(backend: str, seed: int, quick: bool) -> list[Training]:
    """All runs; short ones of short tasks, to see that everything works."""
    be, course = rnnspec.get_backend(backend), Course(seed=seed)
    if not quick:
        return [Training(be, experiment, course) for experiment in EXPERIMENTS]
    short = replace(course, hidden=8, batch=8, steps=6, every=3, held=8, testing=8)
    return [Training(be, replace(each, task=QUICK[each.task]), short) for each in EXPERIMENTS]


def finished(rows: Sequence[Row], training: Training) -> bool:
    """Whether a run is among those that are over, as it is declared now."""
    return any(training.declared.items() <= each.items() for each in rows)


def one(index: int, backend: str, seed: int, quick: bool, folder: Path | None, queue: Any) -> Row:
    """One of the runs, in a process of its own; it ends with the process that asked for it."""
    training, asking = trainings(backend, seed, quick)[index], parent_process()

    def progress(run: Run) -> None:
        if asking is not None and not asking.is_alive():
            os._exit(1)
        queue.put((training.experiment.name, run.step, run.errors[-1]))

    return row(training, training.run(folder, progress))


def each(indices: Sequence[int], jobs: int, arguments: tuple[Any, ...], show: Show) -> Iterator[Row]:
    """The rows of runs as they end, some at a time."""
    os.environ |= ONE_THREAD
    with Manager() as manager, ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        queue = manager.Queue()
        waiting = {pool.submit(one, index, *arguments, queue) for index in indices}
        while waiting:
            done, waiting = wait(waiting, 0.5, FIRST_COMPLETED)
            while not queue.empty():
                show(*queue.get())
            yield from (future.result() for future in done)


def write(path: Path, rows: Sequence[Row]) -> None:
    """The rows in the order of the table, whole or not at all."""
    order = {experiment.name: i for i, experiment in enumerate(EXPERIMENTS)}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    ordered = sorted(rows, key=lambda each: order.get(each["name"], len(order)))
    beside.write_text(json.dumps({"runs": ordered}, indent=1) + "\n")
    beside.replace(path)


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Written after each run; what it holds is not repeated.")],
    backend: Annotated[str, typer.Option(help="numpy, torch, tensorflow, jax or a plugin's name.")] = "numpy",
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values and the sequences.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
    checkpoints: Annotated[Path | None, typer.Option(help="The folder from which killed runs go on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, to see that everything works.")] = False,
) -> None:
    """Train every cell on every task."""
    console, wanted = Console(), trainings(backend, seed, quick)
    held = json.loads(json_file.read_text())["runs"] if json_file.exists() else []
    rows = [row for row in held if any(finished([row], training) for training in wanted)]
    missing = [i for i, training in enumerate(wanted) if not finished(rows, training)]
    if checkpoints:
        checkpoints.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("runs"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[said]}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(wanted), completed=len(rows), said="")

        def show(name: str, step: int, error: float) -> None:
            bar.update(task, said=f"{name}: {error:.4f} after {step} steps")

        for found in each(missing, jobs, (backend, seed, quick, checkpoints), show):
            rows.append(found)
            write(json_file, rows)
            bar.advance(task)
            console.print(f"{found['name']}: {'solved' if found['solved'] else 'not solved'} in {found['step']} steps, "
                          f"error {found['test_error']} beside {found['chance']:.4f}")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
