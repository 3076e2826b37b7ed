"""Tables of noise: what it costs, and whether dropout helps to read digits."""

from __future__ import annotations

from typing import Any

from tables.markdown import table

__all__ = ["cost_tables", "dropout_tables"]


def cost_tables(found: dict[str, Any]) -> list[str]:
    """Milliseconds of drawing and of a step, by backend and kind of noise."""
    kinds = list(dict.fromkeys(row["noise"] for row in found["rows"]))
    backends = list(dict.fromkeys(row["backend"] for row in found["rows"]))
    rows = []
    for kind in kinds:
        own = {row["backend"]: row for row in found["rows"] if row["noise"] == kind}
        rows.append((kind, f"{min(row['drawing'] for row in own.values()):.2f}",
                     *(f"{own[name]['step']:.0f}" for name in backends)))  # fmt: skip
    return [*table(("noise", "drawing, ms", *(f"step on {name}, ms" for name in backends)), rows)]


def dropout_tables(found: dict[str, Any]) -> list[str]:
    """The share of wrong characters for each rate, and each seed."""
    rows = []
    for one in found["rates"]:
        seeds = ", ".join(f"{100 * run['character_error_rate']:.1f}" for run in found["runs"]
                          if run["rate"] == one["rate"])  # fmt: skip
        rows.append((f"{one['rate']:.1f}", f"{100 * one['mean']:.1f}%", f"{100 * one['deviation']:.1f}", seeds))
    return [*table(("dropout", "characters wrong, mean", "deviation over seeds", "each seed, %"), rows)]
