"""Cases make themselves again from their source, hide nothing behind zeros, and stay within a short table."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from conformance.cases import (
    BATCH,
    CELLS,
    STEPS,
    Case,
    Planted,
    Pull,
    cases,
    hidden_for,
    load_cell,
    network_for,
    table,
    wild_cases,
    window,
)  # fmt: skip
from rnnspec import Layer, Network, cell, get_backend
from rnnspec.primitives import tanh
from rnnspec.tree import leaves, tree_map

OWN = load_cell("conformance.own_cell:leaky_gate")
NETWORKS = list(table([*CELLS.values(), OWN]).values())
few = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def again(case):
    names = {}
    exec(case.code(), names)
    return names["case"]


@few
@given(wild_cases([*CELLS.values(), OWN]))
def test_the_source_of_a_case_makes_it_again(case):
    made = again(case)
    assert made.net == case.net
    assert repr(replace(made, net=case.net)) == repr(case)  # a cell that is written out has another label
    if all(layer.cell.states for _, layer, _ in case.net.placed):
        assert repr(made) == repr(case)


def test_a_cell_that_no_module_holds_is_written_out():
    @cell
    def passing(x, R, h):
        return tanh(x.h - R.h(h))

    case = Case(Network(2, [Layer(passing, 3)]), 4, 2, seed=1, planted=(Planted(1, 0, 1e30),), pull=Pull.ONE)
    assert again(case) == case


@few
@given(cases(NETWORKS))
def test_a_case_draws_the_same_numbers_every_time_and_no_zero(case):
    a, b = case.arrays(), replace(case).arrays()
    for (name, first), (_, second) in zip(leaves(vars(a)), leaves(vars(b)), strict=True):
        np.testing.assert_array_equal(first, second, err_msg=name)
    for name, w in leaves([a.params, a.state]):
        assert np.all(w != 0) and (w.size == 1 or np.unique(w).size == w.size), name
    assert np.all(a.inputs[np.arange(STEPS)[:, None] < case.ends] != 0)
    single = a.params["layers"][0][case.net.layers[0].halves[0]]
    for kind, maps in single.items():
        largest = [np.abs(w).mean() for w in maps.values()]
        assert len(set(largest)) == len(largest), kind


@few
@given(cases(NETWORKS))
def test_the_default_cases_need_few_programs(case):
    assert case.net in NETWORKS and (case.steps, case.batch) == (STEPS, BATCH)
    if case.lengths is None:
        assert case.net is NETWORKS[0]
    else:
        assert STEPS in case.lengths and (0 in case.lengths or set(case.lengths) == {STEPS})


@few
@given(cases(NETWORKS))
def test_cotangents_are_where_the_case_says(case):
    a, real = case.arrays(), case.real
    on_outputs = np.count_nonzero(a.output_cotangent[real])
    on_states = any(d.any() for _, d in leaves(a.state_cotangent))
    every = real.sum() * case.net.features
    expected = {Pull.BOTH: (every, True), Pull.OUTPUTS: (every, False), Pull.STATES: (0, True), Pull.ONE: (1, False)}
    assert (on_outputs, on_states) == expected[case.pull]


def test_padding_is_behind_the_ends_of_rows_and_nowhere_else():
    case = Case(NETWORKS[-1], STEPS, BATCH, (7, 0, 3, 7, 1), padding=np.nan, planted=(Planted(2, 0, np.inf),))
    a, padded = case.arrays("f32"), np.arange(STEPS)[:, None] >= np.array(case.lengths)
    np.testing.assert_array_equal(np.isnan(a.inputs), np.repeat(padded[:, :, None], case.net.inputs, 2))
    np.testing.assert_array_equal(np.isnan(a.output_cotangent).all(-1), padded)
    assert np.isinf(a.inputs[2, 0]).all() and np.isinf(a.inputs).sum() == case.net.inputs
    assert a.inputs.dtype == np.float32 and a.lengths.dtype.kind == "i"
    labels = replace(case, net=NETWORKS[-2], planted=()).arrays().targets
    np.testing.assert_array_equal(labels < 0, [False, True, False, False, False])


def test_batches_have_one_shape_and_different_numbers():
    case = Case(NETWORKS[-2], STEPS, BATCH, (7, 0, 3, 7, 1), seed=4)
    first, second, third = case.batches(3, "f32")
    np.testing.assert_array_equal(first[0], case.arrays("f32").inputs)
    assert second[0].shape == third[0].shape and not np.array_equal(second[0][0, 0], third[0][0, 0])
    assert first[3].tolist() == second[3].tolist() == [7, 0, 3, 7, 1]


@pytest.mark.parametrize("cell_", CELLS.values(), ids=lambda c: c.name)
def test_a_window_at_the_padded_shape_is_the_sequence_cut_short(cell_):
    be, case = get_backend("numpy", precision="f64"), Case(network_for(cell_), STEPS, BATCH, (7, 0, 3, 6, 1), seed=6)
    a = case.arrays()
    whole = be.run(case.net, a.params, a.inputs, a.state, a.lengths)
    head, head_ends = window(a.inputs, a.lengths, 0, 3)
    tail, tail_ends = window(a.inputs, a.lengths, 3, STEPS)
    assert head.shape == tail.shape == a.inputs.shape
    first = be.run(case.net, a.params, head, a.state, head_ends)
    second = be.run(case.net, a.params, tail, first.state, tail_ends)
    joined = np.concatenate([first.outputs[:3], second.outputs[: STEPS - 3]])
    np.testing.assert_allclose(joined, whole.outputs, rtol=1e-12, atol=1e-15)
    tree_map(lambda s, t: np.testing.assert_allclose(s, t, rtol=1e-12), second.state, whole.state)
    assert window(a.inputs, None, 2, 5)[1].tolist() == [3] * BATCH


def test_widths_differ_wherever_a_cell_lets_them():
    assert hidden_for(CELLS["lstm"]) == 4
    assert len(set(hidden_for(CELLS["lstm_projected"]).values())) == 2
    assert len(set(hidden_for(OWN).values())) == len(hidden_for(OWN)) > 1
    for given_cell in [*CELLS.values(), OWN]:
        assert network_for(given_cell).layers[0].cell is given_cell


@pytest.mark.parametrize("name", ["lstn", "nowhere:cell", "conformance.own_cell:nothing", "math:pi"])
def test_a_cell_that_is_not_there_is_an_error_with_its_name(name):
    with pytest.raises(LookupError, match=name.rpartition(":")[0] or name):
        load_cell(name)
