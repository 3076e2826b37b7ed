"""The gains that the search found before, for the layers that every run of the suite asks: a search takes seconds.

`make remembering` searches again and writes `found_gains.json`. A layer is found by all that the
search sees of it, so that one whose equations change is searched anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from conformance.cases.gains import Gain
from rnnspec.layer import Layer
from rnnspec.tracing import graph

__all__ = ["FILE", "found", "keep", "key"]

FILE = Path(__file__).with_suffix(".json")


def found(layer: Layer, steps: int) -> tuple[Gain, ...] | None:
    """The gains of a forward layer by itself, by the names of its parameters; None where it must be searched."""
    gains = _read().get(key(layer, steps))
    return None if gains is None else tuple(Gain(*gain) for gain in gains)


def key(layer: Layer, steps: int) -> str:
    """What tells a layer and its number of steps from others."""
    cell = layer.cell
    told = [cell.states, graph.to_json(cell.graph), cell.given, layer.widths_given, layer.heads, layer.shared, steps]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def keep(searched: Mapping[str, Iterable[Gain]], file: Path = FILE) -> None:
    """Keep gains by key, one layer a line."""
    rows = (f'"{name}": {json.dumps([[g.name, g.factor, g.shift] for g in gains])}' for name, gains in searched.items())
    partial = file.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(sorted(rows)) + "\n}\n", encoding="utf-8")
    partial.replace(file)


@cache
def _read() -> dict[str, list[tuple[str, float, float]]]:
    found: dict[str, list[tuple[str, float, float]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found
