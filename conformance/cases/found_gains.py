"""The gains that the search found before, for what every run of the suite asks: a search takes seconds.

They are of single layers, and of those cases whose layers do not remember with their own gains. `make remembering`
searches again and writes `found_gains.json`. A layer or a case is found by all that the search sees of it, so that one
whose equations change is searched anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from conformance.cases.case import Case
from conformance.cases.gains import Gain
from rnnspec.layer import Layer
from rnnspec.tracing import graph

__all__ = ["FILE", "case_key", "keep", "layer_key", "of_case", "of_layer"]

FILE = Path(__file__).with_suffix(".json")


def of_layer(layer: Layer, steps: int) -> tuple[Gain, ...] | None:
    """The gains of a forward layer by itself, by the names of its parameters; None where it must be searched."""
    return _found(layer_key(layer, steps))


def of_case(case: Case) -> tuple[Gain, ...] | None:
    """The gains of a whole case; None where it must be searched."""
    return _found(case_key(case))


def layer_key(layer: Layer, steps: int) -> str:
    """What tells a layer and its number of steps from others."""
    return _hashed([*_equations(layer), steps])


def case_key(case: Case) -> str:
    """What tells a case from others: lengths that name all steps are no other case."""
    plain = replace(case, lengths=tuple(map(int, case.ends)), gains=())
    others = {f.name: repr(getattr(plain, f.name)) for f in fields(plain) if f.name != "net"}
    return _hashed([[_equations(layer) for layer in case.net.layers], repr(case.net), others])


def _found(key: str) -> tuple[Gain, ...] | None:
    gains = _read().get(key)
    return None if gains is None else tuple(Gain(*gain) for gain in gains)


def _equations(layer: Layer) -> list[Any]:
    cell = layer.cell
    return [cell.states, graph.to_json(cell.graph), cell.given, layer.widths_given, layer.heads, layer.shared]


def _hashed(told: list[Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def keep(searched: Mapping[str, Iterable[Gain]], file: Path = FILE) -> None:
    """Keep gains by key, one layer or case a line."""
    rows = (f'"{name}": {json.dumps([[g.name, g.factor, g.shift] for g in gains])}' for name, gains in searched.items())
    partial = file.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(sorted(rows)) + "\n}\n", encoding="utf-8")
    partial.replace(file)


@cache
def _read() -> dict[str, list[tuple[str, float, float]]]:
    found: dict[str, list[tuple[str, float, float]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found
