"""Drawn cells: all of the language is in them, they are their own source, and backends run them."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from backends.planning.planner import plans
from conformance.cases import CELLS, Case, drawn_cell_cases, drawn_cells, hidden_for, load_cell
from conformance.cases.equations import are_same, read, written
from conformance.own_cell import leaky_gate
from conformance.registry import properties
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec import Layer, Network
from rnnspec.derivation.schedule import schedule
from rnnspec.primitives import PRIMITIVES
from rnnspec.tracing.ranks import MATRIX
from tests.test_verification import for_numpy, for_torch, verify

LAWS = {law.id: law for law in properties()}


def drawn(strategy, count, number=0):
    found = []
    once = settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))  # fmt: skip
    seed(number)(once(given(strategy)(lambda value: found.append(value))))()  # noqa: PLW0108  # hypothesis reads its code
    return found


@pytest.fixture(scope="module")
def many():
    return drawn(drawn_cells(), 400)


def test_every_primitive_and_every_shape_of_cell_is_drawn(many):
    ops = Counter(op for cell in many for op in {node.op for node in cell.graph.nodes})
    assert {*PRIMITIVES, "input", "vector", "state", "map", "constant"} - {"spread"} <= set(ops)
    assert {len(cell.states) for cell in many} == {1, 2, 3, 4, 5}
    for says, count in {
        "an output that is no state": sum(cell.output_state is None for cell in many),
        "a matrix": sum(MATRIX in cell.ranks.values() for cell in many),
        "x itself": sum(cell.reads_input for cell in many),
        "two widths": sum(isinstance(hidden_for(cell), dict) for cell in many),
        "a map read twice": sum(max(Counter(n.name for n in c.graph.nodes if n.op == "map").values(), default=0) > 1
                                for c in many),
        "a state that nobody reads": sum(len(c.graph.names("state")) < len(c.states) for c in many),
        "results that are one another": sum(len({i for _, i in c.graph.results[1:]}) < len(c.states) for c in many),
        "a result that needs no loop": sum(any(not reads_state(c, i) for _, i in c.graph.results) for c in many),
    }.items():  # fmt: skip
        assert count >= 10, says


def reads_state(cell, index):
    left = [index]
    while left:
        node = cell.graph.nodes[left.pop()]
        if node.op == "state":
            return True
        left.extend(node.args)
    return False


def test_a_drawn_cell_is_what_its_source_declares_and_can_be_a_layer(many):
    for cell in many:
        assert read(written(cell)) == cell
        Network(3, [Layer(cell, hidden_for(cell))])


@pytest.mark.parametrize("known", [*CELLS.values(), leaky_gate], ids=lambda c: c.name)
def test_a_known_cell_can_be_written_too(known):
    assert are_same(read(written(known)), known)


def test_what_is_written_reads_like_the_book():
    assert written(CELLS["gru"]) == (
        "@cell\n"
        "def gru(x, R, p, h):\n"
        "    u = sigmoid(x.z + R.z(h))\n"
        "    return (1 - u) * tanh(x.n + sigmoid(x.r + R.r(h)) * (R.n(h) + p.n)) + u * h\n"
    )


def test_a_case_of_a_drawn_cell_is_pasted_with_its_declaration():
    for case in drawn(drawn_cell_cases(), 30):
        names = {}
        exec(case.code(), names)
        assert "@cell\ndef drawn(" in case.code()
        assert names["case"] == case


def test_a_loaded_cell_goes_by_its_name():
    loaded = load_cell("conformance.own_cell:leaky_gate")
    net = Network(3, [Layer(loaded, hidden_for(loaded))])
    assert "load_cell('conformance.own_cell:leaky_gate')" in Case(net, 2, 2).code()


def test_every_plan_of_a_drawn_cell_is_right(many):
    for cell in filter(plans, many[::3]):
        for widths in ((4, 3), (3, 3), (1, 4)):
            verify(for_numpy(cell, widths=widths), schedule(cell))
            verify(for_torch(cell, widths=widths), schedule(cell))


@pytest.mark.parametrize("law", ["P120", "P121"])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_backend_runs_what_nobody_thought_of(name, law, open_backend):
    backend = open_backend(name, "f64")
    examination = Examination(backend, Selection().scope(backend.capabilities), seed=7, examples=2)
    found = examination.judge(LAWS[law])
    assert (found.status, found.why) == ("pass", "")
    assert found.examples >= 40
