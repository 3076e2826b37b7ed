"""How many programs the default tier asks of a backend that compiles: counted on NumPy, which compiles none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from conformance.cases import CELLS, PUBLISHED
from conformance.mutants.self_test import Reference
from conformance.properties.equations.drawn import PROGRAMS
from conformance.properties.equations.published import STOREYS
from conformance.registry import properties
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec.running.programs import Programs, is_empty

OTHERS = len(PUBLISHED) - len(CELLS)
MOST = 30 + 2 + 1 + 3 + 2 + 2 * math.ceil(OTHERS / STOREYS)
"""What a backend may be asked to compile in each of two precisions: two programs for every few published cells with
laws of their own, two with resets, one with heads, three with bound calls, two with sequences that remember, and thirty
for all other laws."""


class Counting(Reference):
    """The generic lowering, which keeps a program for whatever a backend that compiles would keep one."""

    def __init__(self, device=None, precision="f32"):
        super().__init__(device, precision)
        self.programs = Programs(lambda function, constants, _: lambda *given: function(self, *constants, *given))

    @property
    def programs_compiled(self):
        return self.programs.compiled

    def program(self, function, *constants):
        def call(*given):
            with np.errstate(all="ignore"):
                if is_empty(given):
                    return function(self, *constants, *given)
                return self.programs.of(function, constants, given)(*given)

        return call


@pytest.mark.parametrize("part, on_the_framework_s_path", [(0, 0), (1, 1)])
def test_the_default_tier_needs_few_programs(part, on_the_framework_s_path):
    backend, selection = Counting(), Selection()
    scope = replace(selection.scope(backend.capabilities), share=(part, 2))
    examination = Examination(backend, scope, examples=1, labels=selection.depth.labels)
    statuses = {examination.judge(law).status for law in properties()}
    assert statuses <= {"pass", "not_applicable"}
    further = PROGRAMS * (selection.depth.examples - 1)  # each example is another drawn cell
    assert 0 < backend.programs_compiled <= MOST - on_the_framework_s_path - further
