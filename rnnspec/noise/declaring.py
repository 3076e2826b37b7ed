"""Noise as JSON values, for files of networks."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.noise.kinds import Dropout, GateDropout, Noise, WeightDrop, Zoneout
from rnnspec.noise.lifetimes import Lifetime, PerSequence, PerStep

__all__ = ["from_json", "to_json"]

KINDS = {kind.__name__: kind for kind in (Dropout, GateDropout, WeightDrop, Zoneout)}
LIFETIMES = {kind.__name__: kind for kind in (PerStep, PerSequence)}


def to_json(call: str, noise: Noise) -> dict[str, Any]:
    """The values of a kind of noise; raises NetworkError where a file cannot hold it."""
    given = {field.name: getattr(noise, field.name) for field in fields(noise)}  # type: ignore[arg-type]
    for known, one in ((KINDS, noise), *((LIFETIMES, v) for v in given.values() if isinstance(v, Lifetime))):
        if known.get(type(one).__name__) is not type(one):
            raise NetworkError(call, f"a file can hold the noise {', '.join(known)} only", type(one).__name__,
                               "save the network without it, and add it after loading")  # fmt: skip
    return {"name": type(noise).__name__, **{name: _value(v) for name, v in given.items()}}


def from_json(data: Any) -> Noise:
    """The noise of the values of `to_json`."""
    given = {name: LIFETIMES[v]() if name == "masks" else v for name, v in data.items() if name != "name"}
    return KINDS[data["name"]](**given)


def _value(value: Any) -> Any:
    if isinstance(value, Lifetime):
        return type(value).__name__
    return dict(value) if isinstance(value, tuple) else value
