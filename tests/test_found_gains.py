"""The gains that the package keeps are those of the search, for every layer that the laws on long memory ask."""

import pytest

from conformance.cases import found_gains
from conformance.cases.gains import Gain
from conformance.cases.search import search


@pytest.fixture
def asked(figures):
    return figures("found_gains").asked()


def test_every_layer_that_the_laws_ask_is_kept_and_no_other(asked):
    assert {found_gains.key(layer, steps) for layer, steps in asked} == found_gains._read().keys()


def test_a_layer_that_is_searched_again_has_the_gains_that_are_kept(asked):
    short = [(layer, steps) for layer, steps in asked if steps < 10 and layer.cell.name in ("lstm", "gru")]
    assert short
    for layer, steps in short:
        assert search(layer, steps) == found_gains.found(layer, steps)


def test_other_equations_and_other_steps_are_searched(asked):
    layer, steps = asked[0]
    assert found_gains.found(layer, steps + 1) is None


def test_a_file_is_written_whole_and_read_again(tmp_path):
    found_gains.keep({"b": [Gain("U.i", 2.0, 0.5)], "a": []}, tmp_path / "gains.json")
    assert (tmp_path / "gains.json").read_text() == '{\n"a": [],\n"b": [["U.i", 2.0, 0.5]]\n}\n'
