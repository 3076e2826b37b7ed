"""Noise as JSON values, for files of networks."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rnnspec.noise.kinds import KINDS, Noise
from rnnspec.noise.lifetimes import LIFETIMES, Lifetime

__all__ = ["from_json", "to_json"]

BY_NAME: dict[str, Any] = {kind.__name__: kind for kind in (*KINDS, *LIFETIMES)}


def to_json(noise: Noise) -> dict[str, Any]:
    """The values of a kind of noise."""
    given = {field.name: _value(getattr(noise, field.name)) for field in fields(noise)}  # type: ignore[arg-type]
    return {"name": type(noise).__name__, **given}


def from_json(data: Any) -> Noise:
    """The noise of the values of `to_json`."""
    given = {name: BY_NAME[value]() if name == "masks" else value for name, value in data.items() if name != "name"}
    return BY_NAME[data["name"]](**given)  # type: ignore[no-any-return]


def _value(value: Any) -> Any:
    if isinstance(value, Lifetime):
        return type(value).__name__
    return dict(value) if isinstance(value, tuple) else value
