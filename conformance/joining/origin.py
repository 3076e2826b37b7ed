"""The origin of a part's report: which part of what it is, of which project, on which machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.joining.machine import machine, project
from conformance.part import WHOLE
from conformance.selection import Selection

__all__ = ["UNORDERED", "Origin"]

UNORDERED = ("names", "named", "only", "modes", "lacks", "operators")
"""What may be asked in any order."""


@dataclass(frozen=True)
class Origin:
    """Part `number` of so many, of a run of these laws; `asked` is what all parts of the run were asked, by name."""

    number: int
    of: int
    laws: Sequence[str]
    asked: Mapping[str, Any]
    project: Mapping[str, str]
    machine: Mapping[str, Any]

    @classmethod
    def here(cls, selection: Selection, **asked: Any) -> dict[str, Any]:
        """The origin of a report of this machine, as the report has it."""
        part, laws = selection.part or WHOLE, [law.id for law in selection.laws()]
        chosen = json.loads(replace(selection, part=None).to_json())
        return vars(cls(part.number, part.of, laws, chosen | asked, project(), machine()))

    @property
    def selection(self) -> Selection:
        """The whole selection."""
        names = Selection.__dataclass_fields__
        return Selection.from_json(json.dumps({name: self.asked[name] for name in names}))

    @property
    def whole(self) -> dict[str, Any]:
        """All that the parts of one run share, by name."""
        asked = {name: sorted(value) if name in UNORDERED else value for name, value in self.asked.items()}
        return {**{f"project {name}": value for name, value in self.project.items()}, **asked, "parts": self.of}
