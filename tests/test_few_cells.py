"""A backend that declares few cells is asked as often as one that runs all of them, of networks of its own cells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from conformance.mutants.trial import Reference
from conformance.own_cell import leaky_gate
from conformance.registry import properties
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec import cells

LAWS = {law.id: law for law in properties()}
DIRECTIONS = {"forward", "reverse", "bidirectional"}


class Lstm(Reference):
    capabilities = replace(Reference.capabilities, cells=(cells.lstm,))


class Three(Reference):
    capabilities = replace(Reference.capabilities, cells=(cells.lstm, cells.gru, cells.elman))


class Foreign(Reference):
    """It has a cell that nobody names."""

    capabilities = replace(Reference.capabilities, cells=(replace(leaky_gate, name="foreign"),))


class Compiling(Lstm):
    """It would compile a program for every network."""

    programs_compiled = 0


@pytest.fixture(scope="module", autouse=True)
def _without_a_search():
    """No gains are sought with which a case remembers: how often which networks are asked does not depend on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("conformance.cases.search.remembering", lambda case: case)
        yield


@cache
def asked(subject, law, part=0, **chosen):
    """The finding where whatever is asked holds, and the networks."""
    backend, selection, nets = subject(), Selection(**chosen), []
    scope = replace(selection.scope(backend.capabilities), share=(part, 2))
    counted = replace(LAWS[law], check=lambda backend, case, judge: nets.append(case.net))
    examination = Examination(backend, scope, examples=selection.examples_each, labels=selection.depth.labels)
    return examination.judge(counted), nets


def assert_asked_as_often(few, law):
    for part in range(2):
        (found, nets), (whole, _) = asked(few, law, part), asked(Reference, law, part)
        assert "unsupported" not in found.labels.values()
        layers = [layer for net in nets for layer in net.layers if not layer.passes]
        assert not any(few.capabilities.lacked(layer.cell) for layer in layers)
        assert whole.examples <= 2 * found.examples
        assert found.examples <= 2 * whole.examples


OF_OTHER_CELLS = ("P120", "P121", "P122", "P140", "P141", "P150", "P151", "P152", "P153", "P154", "P155", "P180",
                  "P181", "P182", "P183", "P184", "P194")  # fmt: skip
"""What is asked of cells that are in no list, and so of backends that run any."""


@pytest.mark.parametrize("law", OF_OTHER_CELLS)
def test_nothing_is_asked_of_cells_that_are_not_declared(law):
    found, nets = asked(Lstm, law)
    assert (found.status, nets) == ("not_applicable", [])
    assert asked(Reference, law, cells=("lstm",))[0].status == "not_applicable"
    assert asked(Reference, law)[0].status == "pass"


@pytest.mark.parametrize("law", [law for law in LAWS if law not in OF_OTHER_CELLS])
def test_no_network_is_of_an_undeclared_cell_and_examples_are_as_many(law):
    assert_asked_as_often(Lstm, law)


@pytest.mark.parametrize("law", ["P01", "P02-loss", "P11", "P85"])
@pytest.mark.parametrize("few", [Three, Foreign], ids=lambda few: few.__name__)
def test_the_same_holds_of_three_cells_and_of_one_that_nobody_names(few, law):
    assert_asked_as_often(few, law)


@pytest.mark.parametrize("few", [Lstm, Compiling], ids=lambda few: few.__name__)
def test_one_cell_stands_on_itself_and_runs_in_every_direction(few):
    _, nets = asked(few, "P01", part=1)
    assert {layer.direction for net in nets for layer in net.layers} == DIRECTIONS
    assert any(len(net.layers) > 1 and net.output is None for net in nets)


def test_a_cell_that_is_named_and_not_declared_is_unsupported():
    found, nets = asked(Lstm, "P11", cells=("gru",))
    assert (found.status, found.labels, nets) == ("unsupported", {"gru": "unsupported"}, [])
    found, nets = asked(Lstm, "P11", cells=("gru", "lstm"))
    assert (found.status, set(found.labels)) == ("pass", {"lstm"})


def test_a_backend_of_few_sizes_is_judged_at_them():
    class Sized(Lstm):
        capabilities = replace(Lstm.capabilities, sizes=((6, 2), (2, 9)))

    parts = [asked(Sized, "P11", part) for part in range(2)]
    assert {status for found, _ in parts for status in found.labels.values()} == {"pass"}
    assert {(net.inputs, net.features) for _, nets in parts for net in nets} == {(6, 2), (2, 9)}
