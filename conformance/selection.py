"""The selection of a run: chosen on the command line, validated once, and sent to every process as JSON.

>>> Selection.from_json(Selection(only=("P01",), shapes=(Shape(2, 7, 3, 4),)).to_json()).shapes
(Shape(batch=2, time=7, inputs=3, hidden=4),)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.cases import BATCH, CELLS, STEPS, load_cell
from conformance.part import Part
from conformance.registry import Property, Scope, Shape, properties
from conformance.tiers import OWN_CELL, TIERS, Grid, Tier
from rnnspec import Capabilities

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """The laws, cells and precisions to test, and the depth. An empty tuple is all, `examples=None` the tier's.

    `as_cell` is the cell that modules and operators must compute, `lacks` what they do without,
    `layout` the name of the object that says where the parameters of modules hold the maps of the cell,
    `form` the text of what modules are given and return. `operators` are the names of operators. `failed` has for each
    backend the laws that failed in an earlier run, with their labels that failed: these are asked first. `part` is the
    part of all this that is tested here; None is all.
    """

    tier: str = "default"
    seed: int = 0
    examples: int | None = None
    device: str | None = None
    precisions: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    modes: tuple[str, ...] = ()
    xfails: dict[str, str] = field(default_factory=dict)
    as_cell: str = ""
    lacks: tuple[str, ...] = ()
    layout: str = ""
    form: str = ""
    operators: tuple[str, ...] = ()
    failed: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    part: Part | None = None

    @property
    def depth(self) -> Tier:
        """The tier."""
        return TIERS[self.tier]

    @property
    def examples_each(self) -> int:
        """The number of examples of each law and label."""
        return self.examples or self.depth.examples

    def laws(self) -> tuple[Property, ...]:
        """The laws to test; `modes` keeps laws of values ("forward") or of gradients ("train")."""
        modes = self.modes or ("forward", "train")
        chosen = (p for p in properties() if not self.only or p.id in self.only)
        return tuple(p for p in chosen if _modes(p) & set(modes))

    def scope(self, able: Capabilities) -> Scope:
        """The cells and shapes to test on a backend with these capabilities; by default also its own.

        Raises LookupError where a named cell does not exist.
        """
        known = tuple(map(load_cell, self.cells or (*CELLS, OWN_CELL)))
        own = () if self.cells else tuple(cell for cell in able.cells or () if cell not in known)
        sizes = tuple(Shape(BATCH, STEPS, *size) for size in able.sizes or ())
        return Scope(known + own, self.shapes or sizes, wide=self.depth.wide, brief=self.depth.brief,
                     closed=bool(self.cells))  # fmt: skip

    def grids(self) -> tuple[Grid, ...]:
        """The grids of speed rows: the tier's, with the named cells, shapes and modes."""
        own = self.depth.grids
        if not own or not (self.cells or self.shapes or self.modes):
            return own
        first = own[0]
        return (Grid(self.cells or first.cells, self.shapes or first.shapes, self.modes or first.modes),)

    @property
    def choices(self) -> bool:
        """Whether the choices of a backend are timed: in a tier that does so, where no part of its grids is named."""
        return self.depth.choices and not (self.cells or self.shapes or self.modes)

    def to_json(self) -> str:
        """The selection as one line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(line: str) -> Selection:
        """The selection that `to_json` wrote."""
        found: dict[str, Any] = json.loads(line)
        found["shapes"] = [Shape(**shape) for shape in found["shapes"]]
        found["part"] = found["part"] and Part(**found["part"])
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return Selection(**given)


def _modes(law: Property) -> set[str]:
    forward, train = "gradients" not in law.needs, "gradients" in law.needs | law.also
    return {mode for mode, judged in (("forward", forward), ("train", train)) if judged}
