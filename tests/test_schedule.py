"""When nodes run: each in a phase where what it needs is there, and none in the loop that need not be."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

import rnnspec
from backends.planning.phases import FEW, LARGE, VERY_LARGE, WIDE, WIDE_FOR_ONE, under_xla
from conformance.cases import CELLS, hidden_for
from rnnspec import Layer, Network, Path, cell, cells, out
from rnnspec.contract.arrays import NumpyArrays
from rnnspec.derivation.schedule import schedule
from rnnspec.primitives import mean, sigmoid, sqrt, tanh, total, width
from rnnspec.running import lowering
from rnnspec.tracing.graph import LEAVES
from rnnspec.tree import leaves

BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]
MINE = [
    cell(lambda x, R, h: (out(tanh(R.y(h) + x.y)), tanh(x.h + R.h(h)))),
    cell(lambda x, h: tanh(x.h)),
    cell(lambda x, R, p, h: sigmoid(p.a) * h + tanh(x.h + R.h(h))),
    cell(lambda x, R, h, n: (tanh(x.h + R.h(h)), 0.5 * n + total(h))),
    cell(lambda x, h, c: (c, h + x.h)),
    cell(lambda x, R, h, c: (tanh(x.h + R.h(h) / sqrt(width(h * c))), c - mean(c))),
]


def ops(plan, indices):
    return sorted(plan.nodes[index].op for index in indices)


@pytest.mark.parametrize("declared", [*BUILT_IN, *MINE], ids=repr)
def test_every_phase_finds_what_it_needs(declared):
    plan = schedule(declared)
    here = {
        i for i, node in enumerate(plan.nodes)
        if node.op in (*LEAVES, "width") and node.op not in ("input", "cotangent", "state")
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
    assert list(schedule(cells.lstm).recurrent_packs.values()) == [(("f", "g", "i", "o"),)]
    assert sorted(schedule(cells.gru_reset_before).recurrent_packs.values()) == [(("n",),), (("r", "z"),)]


def test_maps_that_are_not_packed_are_products_of_their_own():
    plan = replace(schedule(cells.lstm), packed=False)
    each = (("f",), ("g",), ("i",), ("o",))
    assert plan.input_packs == plan.transposed_packs("f g i o") == each
    assert list(plan.recurrent_packs.values()) == [each]


REARRANGED = {
    "each map by itself": lambda plan: replace(plan, packed=False),
    "several rows under XLA": lambda plan: under_xla(plan, 2, WIDE - 1),
    "few rows of wide states under XLA": lambda plan: under_xla(plan, FEW, WIDE),
    "one row of wide states under XLA": lambda plan: under_xla(plan, 1, WIDE_FOR_ONE),
    "few rows of very large maps under XLA": lambda plan: under_xla(plan, FEW, VERY_LARGE),
    "more rows of large maps under XLA": lambda plan: under_xla(plan, FEW + 1, LARGE),
    "on columns": lambda plan: replace(plan, columns=True),
}


@pytest.mark.parametrize("declared", [*BUILT_IN, *MINE], ids=repr)
@pytest.mark.parametrize("rearranged", REARRANGED.values(), ids=REARRANGED)
def test_a_schedule_may_be_rearranged(rearranged, declared):
    rng, arrays = np.random.default_rng(0), NumpyArrays("float64")
    net = Network(2, [Layer(declared, hidden_for(declared, (3, 2)))])
    [layer], own = net.layers, net.init(1)["layers"][0]["forward"]
    x, dy = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, layer.width))
    first, last = ({s: rng.normal(size=(2, *shape)) for s, shape in layer.state_shapes.items()} for _ in range(2))

    def everything(plan):
        outputs, final, trace = lowering.forward(arrays, plan, own, x, first, None)
        return dict(leaves((outputs, final, lowering.backward(arrays, plan, own, trace, dy, last, None))))

    expected = everything(schedule(declared))
    for name, found in everything(rearranged(schedule(declared))).items():
        np.testing.assert_allclose(found, expected[name], 1e-12, 1e-14, err_msg=name)


@pytest.mark.parametrize(("name", "path", "ran"), [
    ("jax", Path.GENERIC, "generic"), ("tensorflow", Path.NATIVE, "native (XLA)"),
])  # fmt: skip
def test_steps_on_columns_give_the_same_under_xla(name, path, ran, monkeypatch, reference):
    bounds = {"backends.planning.phases.FEW": 0, "backends.planning.phases.LARGE": 0,
              "backends.tensorflow_backend.xla.SEVERAL": sys.maxsize}  # fmt: skip
    for place, bound in bounds.items():
        monkeypatch.setattr(place, bound)
    declared = [c for c in (*CELLS.values(), *MINE) if under_xla(schedule(c), 3, 2).columns]
    halves = cycle(("forward", "reverse"))
    net = Network(2, [Layer(c, hidden_for(c, (3, 2)), half) for c, half in zip(declared, halves, strict=False)])
    rng = np.random.default_rng(0)
    x, dy, lengths = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, net.features)), np.array([4, 0, 2])
    paths = []

    def everything(be):
        result = be.run(net, net.init(1), x, None, lengths)
        paths.append(dict(result.path).values())
        pulled = be.pullback(net, net.init(1), x, dy, lengths=lengths)
        return dict(leaves((result.outputs, result.state, pulled.params, pulled.inputs, pulled.state)))

    expected = everything(reference)
    for place, found in everything(rnnspec.get_backend(name, precision="f64").through(path)).items():
        np.testing.assert_allclose(np.asarray(found), expected[place], 1e-11, 1e-13, err_msg=place)
    assert set(paths.pop()) == {ran}


class Noted(NumpyArrays):
    """Arrays that note the shapes of what a loop carries."""

    def scan(self, body, carried, values, count, backwards):
        self.carried = {name: a.shape for name, a in carried.items()}
        return super().scan(body, carried, values, count, backwards)


def test_on_columns_the_loop_carries_features_by_rows():
    own = Network(3, [Layer(cells.lstm, 5)]).init(1)["layers"][0]["forward"]
    arrays, state = Noted("float64"), {name: np.zeros((2, 5)) for name in cells.lstm.states}
    for columns, shape in ((False, (2, 5)), (True, (5, 2))):
        plan = replace(schedule(cells.lstm), columns=columns)
        lowering.forward(arrays, plan, own, np.zeros((4, 2, 3)), state, None)
        assert arrays.carried == {"h": shape, "c": shape}


def test_what_the_backward_pass_reads_is_saved():
    plan = schedule(cells.elman)
    assert ops(plan, plan.saved) == ["state", "tanh"]


def test_equal_cells_have_one_schedule():
    twin = cell(lambda x, R, h: tanh(x.h + R.h(h)))
    assert schedule(twin) is schedule(cells.elman)


def test_a_width_runs_in_no_phase_and_what_only_it_reads_does_not_run():
    plan = schedule(cell(lambda x, R, p, h: tanh(R.h(h) / sqrt(width(R.k(h))) + p.a / width(h))))
    assert ops(plan, plan.forward.before) == ["divide", "sqrt"]
    assert ops(plan, plan.forward.step) == ["add", "divide", "map", "tanh"]
    phases = (plan.forward, plan.backward)
    everything = {index for phase in phases for index in (*phase.before, *phase.step, *phase.after)}
    assert not {index for index in everything if plan.nodes[index].op == "width"}


def test_few_rows_run_on_columns_only_through_very_large_maps():
    plan = schedule(cells.gru)
    assert not under_xla(plan, FEW, 992).columns
    assert under_xla(plan, FEW, 1024).columns
    assert under_xla(plan, 2, 1024).columns


def test_one_row_multiplies_by_each_map_alone_only_where_maps_are_wide():
    plan = schedule(cells.gru)
    assert under_xla(plan, 1, WIDE_FOR_ONE - 1) is plan
    for states in (WIDE_FOR_ONE, 1024):
        found = under_xla(plan, 1, states)
        assert not found.packed
        assert not found.columns
        assert found.forward.before == plan.forward.before
