"""When nodes run: each in a phase where what it needs is there, and none in the loop that need not be."""

from __future__ import annotations

import pytest

import rnnspec
from rnnspec import cell, cells, out
from rnnspec.graph import LEAVES
from rnnspec.primitives import sigmoid, tanh, total
from rnnspec.schedule import schedule

BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]
MINE = [
    cell(lambda x, R, h: (out(tanh(R.y(h) + x.y)), tanh(x.h + R.h(h)))),
    cell(lambda x, h: tanh(x.h)),
    cell(lambda x, R, p, h: sigmoid(p.a) * h + tanh(x.h + R.h(h))),
    cell(lambda x, R, h, n: (tanh(x.h + R.h(h)), 0.5 * n + total(h))),
    cell(lambda x, h, c: (c, h + x.h)),
]


def ops(plan, indices):
    return sorted(plan.nodes[index].op for index in indices)


@pytest.mark.parametrize("declared", [*BUILT_IN, *MINE], ids=repr)
def test_every_phase_finds_what_it_needs(declared):
    plan = schedule(declared)
    here = {
        i for i, node in enumerate(plan.nodes) if node.op in LEAVES and node.op not in ("input", "cotangent", "state")
    }
    states = {i for i, node in enumerate(plan.nodes) if node.op == "state"}
    carried = {i for i, node in enumerate(plan.nodes) if node.op == "cotangent" and node.name}
    here |= {i for i, node in enumerate(plan.nodes) if node.op == "cotangent" and not node.name}
    for phases, moving in ((plan.forward, states), (plan.backward, carried)):
        for indices in (phases.before, phases.step, phases.after):
            if indices is not phases.before:
                here |= moving
            for index in indices:
                assert set(plan.nodes[index].args) <= here, plan.nodes[index]
                here.add(index)
        here |= moving
    assert {plan.cell.graph.result(name) for name, _ in plan.cell.graph.results} <= here
    assert {index for _, index in plan.adjoint.leaves} <= here
    assert {use.cotangent for use in plan.adjoint.maps} <= here


@pytest.mark.parametrize("declared", [*BUILT_IN, *MINE], ids=repr)
def test_the_loop_holds_only_what_moves_and_feeds_the_next_step(declared):
    plan = schedule(declared)
    nodes = plan.nodes
    for phases, moving, ends in (
        (plan.forward, {i for i, n in enumerate(nodes) if n.op == "state"},
         {plan.cell.graph.result(s) for s in plan.cell.states}),
        (plan.backward, {i for i, n in enumerate(nodes) if n.op == "cotangent" and n.name},
         {i for (op, _), i in plan.adjoint.leaves if op == "state"}),
    ):  # fmt: skip
        reached = set(moving)
        for index in phases.step:
            assert reached & set(nodes[index].args), "it needs no carried value"
            reached.add(index)
        read = set(ends)
        for index in reversed(phases.step):
            assert index in read, "no later step needs it"
            read |= set(nodes[index].args)
        assert not set(phases.after) & read
        assert not set(phases.before) & reached


def test_the_lstm_runs_its_inputs_before_and_nothing_after():
    plan = schedule(cells.lstm)
    assert ops(plan, plan.forward.before) == ["input"] * 4
    assert plan.forward.after == ()


def test_an_output_that_is_no_state_runs_after_the_loop():
    plan = schedule(MINE[0])
    assert ops(plan, plan.forward.after) == ["add", "map", "tanh"]
    assert ops(plan, plan.forward.step) == ["add", "map", "tanh"]


def test_its_cotangent_runs_before_the_backward_loop():
    plan = schedule(MINE[0])
    incoming = next(i for i, node in enumerate(plan.nodes) if node.op == "cotangent" and not node.name)
    reading = [i for i, node in enumerate(plan.nodes) if incoming in node.args]
    assert reading
    assert set(reading) <= set(plan.backward.before)


def test_a_cell_without_memory_has_no_loop():
    plan = schedule(MINE[1])
    assert plan.forward.step == plan.forward.after == plan.backward.step == ()


def test_the_backward_loop_of_mingru_is_one_product():
    assert ops(schedule(cells.mingru), schedule(cells.mingru).backward.step) == ["multiply"]


def test_maps_of_one_argument_are_one_pack():
    assert [names for _, names in schedule(cells.lstm).recurrent_packs()] == [("f", "g", "i", "o")]
    assert sorted(names for _, names in schedule(cells.gru_reset_before).recurrent_packs()) == [("n",), ("r", "z")]


def test_what_the_backward_pass_reads_is_saved():
    plan = schedule(cells.elman)
    assert ops(plan, plan.saved) == ["state", "tanh"]


def test_equal_cells_have_one_schedule():
    twin = cell(lambda x, R, h: tanh(x.h + R.h(h)))
    assert schedule(twin) is schedule(cells.elman)
