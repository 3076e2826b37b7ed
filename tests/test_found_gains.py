"""The gains that the package keeps are those of the search, for all that the laws on long memory ask."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis.strategies import one_of

from conformance.cases import CELLS, Case, found_gains, memory, remembering
from conformance.cases.gains import Gain
from conformance.cases.search import alone as forward
from conformance.cases.search import begun, drawn, search, sought
from conformance.own_cell import leaky_gate
from conformance.properties.sequences.remembering import SEEDS, remembered
from conformance.registry import Scope
from conformance.tiers import OWN_CELL
from rnnspec import cells

SCOPE = Scope((*CELLS.values(), leaky_gate))


@pytest.fixture
def figure(figures):
    return figures("found_gains")


def test_every_layer_is_kept_and_of_cases_those_that_need_gains_of_their_own(figure):
    layers = {found_gains.layer_key(layer, steps) for layer, steps in figure.layers()}
    cases = {found_gains.case_key(case) for case in figure.cases() if found_gains.of_case(case)}
    assert layers | cases == found_gains._read().keys()


@pytest.mark.parametrize("scope", [replace(SCOPE, eager=True), *(replace(SCOPE, share=(part, 2)) for part in (0, 1))],
                         ids=["eager", "compiling, f32", "compiling, f64"])  # fmt: skip
def test_no_other_case_is_drawn(figure, scope):
    known = {replace(case, seed=0) for case in figure.cases()}
    alone = {key for layer, steps in figure.layers() for key in [found_gains.layer_key(layer, steps)]}
    several = set()

    @settings(max_examples=300, database=None, derandomize=True)
    @given(one_of(*remembered(scope).values()))
    def drawn_ones(case):
        assert case.seed in SEEDS
        assert all(found_gains.layer_key(forward(layer), case.steps) in alone for layer in case.net.layers)
        if len(case.net.layers) > 1 or case.net.layers[0].direction != "forward":
            several.add(replace(Case(case.net, case.steps, case.batch), seed=0))

    drawn_ones()
    assert several
    assert several <= known


def test_a_layer_that_is_searched_again_has_the_gains_that_are_kept(figure):
    short = [(layer, steps) for layer, steps in figure.layers() if steps < 10 and layer.cell.name in ("lstm", "gru")]
    assert short
    for layer, steps in short:
        assert search(layer, steps) == found_gains.of_layer(layer, steps)


def test_cases_with_gains_of_their_own_do_not_remember_without(figure):
    cases = figure.cases()
    kept = [case for case in cases if found_gains.of_case(case)]
    forgetting = [case for case in kept if memory(remembering(case)).lost]
    assert 10 * len(forgetting) <= len(kept)
    again = next(case for case in kept if case.net.layers[0].cell is cells.elman and case.seed == 1)
    assert drawn(begun(again)) is None
    assert sought(begun(again)).gains == found_gains.of_case(again)
    assert drawn(begun(next(case for case in cases if case not in kept)))


def test_lengths_of_all_steps_are_no_other_case_and_other_lengths_are(figure):
    case = next(case for case in figure.cases() if found_gains.of_case(case))
    full, short = (case.steps,) * case.batch, (case.steps - 1,) * case.batch
    assert found_gains.of_case(replace(case, lengths=full)) == found_gains.of_case(case)
    assert found_gains.of_case(replace(case, lengths=short)) is None
    assert found_gains.of_case(replace(case, seed=99)) is None


@pytest.mark.parametrize("loaded", [{}, {leaky_gate: OWN_CELL}], ids=["new", "loaded"])
def test_a_cell_of_ones_own_is_found_whether_it_was_loaded_or_not(figure, monkeypatch, loaded):
    monkeypatch.setattr("conformance.cases.source.OWN", loaded)
    own = [case for case in figure.cases() if case.net.layers[0].cell is leaky_gate]
    assert any(map(found_gains.of_case, own))


def test_other_steps_are_searched(figure):
    layer, steps = figure.layers()[0]
    assert found_gains.of_layer(layer, steps + 1) is None


def test_a_file_is_written_whole_and_read_again(tmp_path):
    found_gains.keep({"b": [Gain("U.i", 2.0, 0.5)], "a": []}, tmp_path / "gains.json")
    assert (tmp_path / "gains.json").read_text() == '{\n"a": [],\n"b": [["U.i", 2.0, 0.5]]\n}\n'
