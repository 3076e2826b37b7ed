"""The laws hold for a right backend whatever the cell is: they suppose nothing of its equations."""

from dataclasses import replace

import pytest

from conformance.mutants.self_test import Reference
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec import cells, chain
from tests.odd_cells import ODD, step_at_zero, without_anything

LAWS = {law.id: law for law in properties()}
RIGHT = ("pass", "not_applicable", "ill_posed")
SUPPOSED = ("P04", "P18", "P27", "P48", "P55", "P60", "P62", "P69", "P72")
"""Those that supposed zeros of zeros, that every input is read, that there is a map, or a gradient of each."""
OTHERS = sorted(set(LAWS) - set(SUPPOSED) - {"P01", "P02", "P88-long"})


def judged(law, cell, precision="f64"):
    scope = Scope((cell,), eager=True, brief=True)
    return Examination(Reference(precision=precision), scope, examples=2, labels=2).judge(LAWS[law])


@pytest.mark.parametrize("cell", ODD, ids=lambda cell: cell.name)
@pytest.mark.parametrize("law", SUPPOSED)
def test_a_law_supposes_nothing_of_a_cell(law, cell):
    finding = judged(law, cell)
    assert finding.status in RIGHT, finding


@pytest.mark.parametrize("law", OTHERS)
def test_a_law_holds_of_a_cell_without_parameters(law):
    finding = judged(law, without_anything)
    assert finding.status in RIGHT, finding


@pytest.mark.parametrize(
    ("law", "cell"),
    [("P44", cells.s4d), ("P44", cells.mut2), ("P44", cells.tlstm), ("P101", cells.fastrnn), ("P101", cells.gla),
     ("P61-parallel", cells.dense)],
    ids=lambda given: getattr(given, "name", given),
)
def test_a_law_is_not_asked_of_cells_that_it_says_nothing_of(law, cell):
    """Their states are matrices, they read the input itself, a width of theirs is always 1, or they have no state."""
    finding = judged(law, cell)
    assert finding.status == "not_applicable", finding


class Early(Reference):
    """An update clips a little below the limit."""

    def update(self, net, rule, *given):
        clip, *rest = rule.rules
        return super().update(net, chain(replace(clip, limit=0.99 * clip.limit), *rest), *given)


def test_the_limit_is_judged_where_zeros_give_no_zeros():
    scope = Scope((step_at_zero,), eager=True, brief=True)
    finding = Examination(Early(precision="f64"), scope, examples=1).judge(LAWS["P60"])
    assert finding.status == "fail", finding
    assert judged("P60", step_at_zero).status == "not_applicable"


@pytest.mark.parametrize("cell", [cells.dense, cells.layer_norm], ids=lambda cell: cell.name)
@pytest.mark.parametrize("law", [law for law in LAWS if "P180" <= law <= "P194"])
def test_a_law_of_whole_models_holds_of_a_cell_without_a_state(law, cell):
    finding = judged(law, cell)
    assert finding.status in RIGHT, finding
