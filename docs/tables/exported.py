"""The tables of exported headers: the time of a step, and what a network takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import number, table

__all__ = ["tables"]


def tables(data: Any) -> Iterator[str]:
    """A step of C beside ONNX Runtime, then code, weights and memory in bytes."""
    yield from table(("cell", "inputs, hidden", "C, us", "ONNX Runtime, us", "C / ONNX Runtime", "95 % interval"),
                     ((*named(row), f"{1e6 * row['seconds']:.1f}", f"{1e6 * row['peer_seconds']:.1f}",
                       number(row["ratio"]), f"{number(row['low'])} to {number(row['high'])}")
                      for row in data["times"]))  # fmt: skip
    yield ""
    yield f"{data['rounds']} rounds, one thread, `{data['flags']}`, float32. Sizes are of `-Os`, in bytes:"
    yield ""
    yield from table(("cell", "inputs, hidden", "weights", "code", "weights, bytes", "a stream, bytes",
                      "outputs change by"),
                     ((*named(row), "8 bits" if row["int8"] else "float32",
                       *(f"{row[what]:,}" for what in ("code", "weights", "memory")), changed(row["error"]))
                      for row in data["sizes"]))  # fmt: skip


def named(row: Any) -> tuple[str, str]:
    return f"`{row['cell']}`", f"{row['inputs']}, {row['hidden']}"


def changed(error: Any) -> str:
    return f"{error['largest']:.0e} of {error['output']:.1f}" if error else ""
