"""What a function of equations is called with: `x`, `R`, `p`, its states and its named constants.

`x.name`, `R.name` and `p.name` are made where they are first written, so that a cell declares no list of its maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rnnspec.primitives import refuse
from rnnspec.tracing.graph import GraphBuilder, Input, Vector, map_name

__all__ = ["PARAMETERS", "parameters"]

PARAMETERS = ("x", "R", "p")


def parameters(builder: GraphBuilder) -> dict[str, Any]:
    """`x`, `R` and `p` of the equations that a builder collects."""
    return {
        "x": Input(builder.vector("x"), lambda name: builder.vector("input", name)),
        "R": _Maps("R", lambda name: _Recurrent(name, builder)),
        "p": _Maps("p", lambda name: builder.vector("vector", name)),
    }


class _Maps:
    """`R` or `p`: each attribute is a map or a vector."""

    def __init__(self, label: str, make: Callable[[str], Any]) -> None:
        self._label, self._make = label, make

    def __getattr__(self, name: str) -> Any:
        return self._make(map_name(self._label, name))

    def __repr__(self) -> str:
        return self._label


@dataclass(frozen=True)
class _Recurrent:
    """`R.name`, or `R.name.T`, the map turned around."""

    name: str
    builder: GraphBuilder = field(repr=False)
    op: str = "map"

    @property
    def T(self) -> _Recurrent:  # noqa: N802  # the field's name
        """The transposed map; that of a transposed map is the map."""
        return _Recurrent(self.name, self.builder, "map" if self.op == "transposed" else "transposed")

    def __call__(self, *vectors: Any) -> Vector:
        if len(vectors) != 1:
            refuse(f"{self!r}(...)", f"{len(vectors)} arguments", "a recurrent map must be given one vector",
                   "write a map for each vector, as in R.a(u) + R.b(v)")  # fmt: skip
        return self.builder.vector(self.op, self.name, *vectors)

    def __repr__(self) -> str:
        return f"R.{self.name}" + (".T" if self.op == "transposed" else "")
