"""Tables of time in parallel: seconds, memory and digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import number, table

__all__ = ["kappa_tables", "tables"]


def tables(data: Any) -> Iterator[str]:
    """All parts that were measured, each with a heading in one sentence."""
    for name, (heading, part) in PARTS.items():
        if name in data:
            yield heading
            yield ""
            yield from part(data[name])
            yield ""


def forward(rows: Any) -> Iterator[str]:
    def ratio(name: str, cell: str, batch: int) -> str:
        return number(_one(rows, backend=name, cell=cell, rows=batch)["ratio"])

    yield from table(("cell", "rows", "NumPy", "PyTorch"),
                     ((f"`{cell}`", batch, *(ratio(name, cell, batch) for name in ("numpy", "torch")))
                      for cell, batch in _cells(rows)))  # fmt: skip


def gradients(rows: Any) -> Iterator[str]:
    yield from table(("cell", "rows", "ratio", "milliseconds"),
                     ((f"`{row['cell']}`", row["rows"], number(row["ratio"]), f"{1e3 * row['parallel']:.0f}")
                      for row in rows))  # fmt: skip


def scans(rows: Any) -> Iterator[str]:
    yield from table(("backend", "cell", "steps", "mode", "default / the better", "scan / single steps"),
                     ((row["backend"], f"`{row['cell']}`", f"{row['steps']:,}", row["mode"], number(row["ratio"]),
                       number(row["scan"] / row["stepwise"])) for row in rows))  # fmt: skip


def growth(rows: Any) -> Iterator[str]:
    yield from table(("backend", "steps", "microseconds a step", "megabytes"),
                     ((row["backend"], f"{row['steps']:,}", f"{row['microseconds_a_step']:.1f}",
                       f"{row['peak'] / 1e6:.0f}") for row in rows))  # fmt: skip


def memory(rows: Any) -> Iterator[str]:
    yield from table(("backend", "cell", "parallel, megabytes", "single steps, megabytes", "ratio"),
                     ((row["backend"], f"`{row['cell']}`", f"{row['default'] / 1e6:.0f}",
                       f"{row['stepwise'] / 1e6:,.0f}", number(row["ratio"])) for row in rows))  # fmt: skip


PARTS = {
    "forward": ("A run, beside the same cell step by step:", forward),
    "gradients_jax": ("Gradients on JAX, beside JAX's own gradient of a plain `lax.scan`:", gradients),
    "gradients_torch": ("Gradients on PyTorch, beside the same chunks written by hand, which autograd differentiates:",
                        gradients),
    "memory": ("Memory of gradients over 8,192 steps of one row, beside single steps, which keep every state:", memory),
    "growth": ("Gradients of `gla` as the sequence grows:", growth),
    "scans": ("Vectors of one row, 128 units: what a backend takes by itself, beside the better of single steps and a "
              "scan, and the scan beside single steps (with TensorFlow, those of XLA):", scans),
}  # fmt: skip


def kappa_tables(data: Any) -> Iterator[str]:
    """The worst kappa by precision, over cells and decays, in parallel and step by step."""
    lengths = sorted({row["steps"] for row in data["cells"]})
    parts = {"cells": "nine cells", "decays": "decays of 0, 1e-6, 1 - 1e-6, 1 and all"}
    yield from table(("precision", "over", *(f"{steps} steps" for steps in lengths)),
                     ((precision, over, *(_worst(data[part], precision, steps) for steps in lengths))
                      for precision in ("f32", "f64", "bf16") for part, over in parts.items()))  # fmt: skip
    yield ""
    yield "In parentheses: the steps one by one."


def _worst(rows: Any, precision: str, steps: int) -> str:
    own = [row for row in rows if row["precision"] == precision and row["steps"] == steps]
    worst = (f"{max(row[key] for row in own):.1f}" for key in ("kappa", "stepwise"))
    return "{} ({})".format(*worst)


def _cells(rows: Any) -> list[tuple[str, int]]:
    return list(dict.fromkeys((row["cell"], row["rows"]) for row in rows))


def _one(found: Any, **named: Any) -> Any:
    return next(row for row in found if all(row[key] == value for key, value in named.items()))
