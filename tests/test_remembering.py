"""Cases that remember do so by the oracle's adjoint, and no fault that a network which forgets would hide survives."""

from dataclasses import replace

import numpy as np
import pytest

from conformance import reproduce
from conformance.cases import Case, Gain, hidden_for, memory, remembering, still
from conformance.cases.gains import gained
from conformance.cases.reach import least_of_inputs
from conformance.judge import Failure, Judge
from conformance.mutants.sequences import forgetting
from conformance.mutants.sequences.forgetting import EXTENTS, forgetting_mutants
from conformance.mutants.trial import Reference
from conformance.properties.asking import ask
from conformance.properties.operands.layers import operands
from conformance.properties.sequences.remembering import HEADED, remembered, straight
from conformance.registry import Scope, Shape, properties
from rnnspec import Layer, Network, cell, cells
from rnnspec.primitives import exp, maximum, sigmoid, softplus, tanh
from rnnspec.tree import leaves

LAWS = {law.id: law for law in properties()}


@cell
def unheard(x, R, p, h, c):
    """A cell that nobody listed."""
    keep = sigmoid(x.keep + R.keep(h) + p.keep)
    c = keep * c + (1 - keep) * tanh(x.new + R.new(h))
    return tanh(c + R.out(c)), c


def case_of(one, steps, **given):
    return Case(Network(2, [Layer(one, hidden_for(one, (3, 2, 4)))]), steps, 2, **given)


@pytest.mark.parametrize("steps", [7, 64, 512])
@pytest.mark.parametrize("one", [cells.lstm, cells.elman, unheard], ids=lambda one: one.name)
def test_a_case_remembers_whatever_its_cell(one, steps):
    found = remembering(case_of(one, steps))
    assert memory(found).lost == ""
    assert memory(found).first >= least_of_inputs(steps)
    assert remembering(case_of(one, steps)) == found


def test_a_case_as_it_is_drawn_forgets():
    assert memory(case_of(cells.lstm, 512)).first < 1e-12
    assert "of the initial state of 0.forward" in memory(case_of(cells.lstm, 512)).lost


def test_what_was_measured_is_the_gradient_that_a_backend_gives():
    found = remembering(case_of(cells.gru, 64))
    given = found.arrays()
    w = np.zeros_like(given.output_cotangent)
    w[-1] = given.output_cotangent[-1]
    pulled = Reference(precision="f64").pullback(found.net, given.params, given.inputs, w, None, given.state)
    sizes = np.sqrt(np.mean(np.square(pulled.inputs), -1))
    relative = sizes[0] / sizes[-8:].max(0)
    assert memory(found).first <= relative.min() * (1 + 1e-6)
    assert relative.min() >= least_of_inputs(64)


def test_gains_change_what_they_name():
    params = case_of(cells.elman, 3).arrays().params
    gains = [Gain("layers.0.forward.U.h", 0.0, 1.0), Gain("layers.0.forward.b.h", 1.0, 2.0)]
    changed = dict(leaves(gained(params, gains)))
    drawn = dict(leaves(params))
    np.testing.assert_array_equal(changed["layers.0.forward.U.h"], np.eye(3))
    np.testing.assert_allclose(changed["layers.0.forward.b.h"] - drawn["layers.0.forward.b.h"], [2, 2, 0])
    np.testing.assert_array_equal(changed["layers.0.forward.W.h"], drawn["layers.0.forward.W.h"])


def test_gates_open_and_close_in_a_case_that_remembers():
    closed = (Gain("layers.0.forward.b.z", 1.0, -9.0),)
    assert still(case_of(cells.mingru, 64, gains=closed)) == ()  # the last unit of three is as it was drawn
    assert still(Case(Network(2, [Layer(cells.mingru, 1)]), 64, 2, gains=closed)) == ("0: sigmoid of z",)
    for steps in (7, 64, 512):
        assert still(remembering(case_of(cells.mingru, steps))) == ()
        assert still(remembering(case_of(cells.lstm, steps))) == ()


def test_an_exponential_has_the_gate_that_it_reads_or_is_one_itself():
    @cell
    def decaying(x, R, p, h, m):
        k = maximum(x.i, m + x.f)
        h = exp(x.i - k) * tanh(x.n) + exp(-softplus(x.a)) * h + exp(p.b) * x.n
        return h, k

    shifted = tuple(Gain(f"layers.0.forward.b.{name}", 0.0, -9.0) for name in ("i", "a"))
    net = Network(2, [Layer(decaying, hidden=1)])
    assert still(Case(net, 64, 2)) == ()
    assert set(still(Case(net, 64, 2, gains=shifted))) == {"0: softplus of a", "0: exp of f, i"}


def test_a_cell_that_cannot_remember_says_what_it_forgets():
    @cell
    def forgetful(x, R, h):
        return 0.1 * h + x.h

    found = remembering(case_of(forgetful, 64))
    assert "of the initial state of 0.forward is" in memory(found).lost


def test_a_state_that_no_step_reads_is_not_asked_for():
    found = remembering(replace(case_of(cells.rglru, 64), seed=2))
    assert memory(found).unread in ((), ("0.forward",))
    assert memory(found).lost == ""


def test_the_source_of_a_case_that_remembers_makes_it_again():
    found, names = remembering(case_of(cells.lstm, 7)), {}
    exec(found.code(), names)
    assert names["case"] == found


def test_the_labels_are_of_every_extent():
    assert set(straight(Scope((cells.lstm,), eager=True))) == {
        "7 steps", "64 steps", "512 steps", "512 steps, heads", "64 steps, two layers",
        "512 steps, two layers"}  # fmt: skip


def test_sizes_that_are_fixed_have_a_label_each():
    scope = Scope((cells.lstm,), (Shape(5, 7, 10, 20), Shape(5, 7, 3, 4)))
    assert set(remembered(scope)) == {"512 steps at 10,20", "512 steps at 3,4"}
    assert straight(scope) == {}
    assert set(straight(replace(scope, eager=True))) == set(remembered(scope))


def test_a_cell_that_chooses_by_comparison_remembers():
    assert memory(remembering(case_of(cells.elman_relu, 64))).lost == ""


def test_gains_of_few_units_serve_many():
    found = remembering(Case(Network(10, [Layer(cells.lstm, 20)]), 512, 2))
    assert memory(found).lost == ""
    assert found.gains == remembering(Case(Network(10, [Layer(cells.lstm, 30)]), 512, 2)).gains


@pytest.mark.parametrize(("layer", "steps"), [(HEADED[0], 64), (HEADED[1], 512)])
def test_a_layer_with_heads_remembers(layer, steps):
    assert memory(remembering(Case(Network(2, [layer]), steps, 2))).lost == ""


class OnlyTheLastOfHeads(forgetting.OnlyTheLast):
    """Of layers with heads, only the last 100 steps change the states."""

    steps = 100

    def asked(self, asked):
        found = super().asked(asked)
        self.__dict__["here_now"] = asked.cell.heads is not None
        return found


class OnlyTheLastOfOperands(forgetting.OnlyTheLast):
    """Where no map makes the x.name, only the last 100 steps change the states."""

    steps = 100

    def asked(self, asked):
        found = super().asked(asked)
        self.__dict__["here_now"] = asked.cell.given is not None
        return found


def made(fault):
    return type(fault.__name__, (fault, Reference), {})(precision="f64")


@pytest.mark.parametrize("law", ["P170", "P172"])
def test_a_fault_of_layers_with_heads_alone_is_told(law):
    case = remembering(Case(Network(2, [HEADED[1]]), 512, 2))
    with pytest.raises(Failure):
        LAWS[law](made(OnlyTheLastOfHeads), case, Judge(made(OnlyTheLastOfHeads)))


def test_a_fault_of_operands_alone_is_told_on_the_products_of_maps_that_remember():
    case = remembering(Case(Network(2, [HEADED[1]]), 512, 2))
    LAWS["P170"](made(OnlyTheLastOfOperands), case, Judge(made(OnlyTheLastOfOperands)))
    LAWS["P160"](Reference(precision="f64"), case, Judge(Reference(precision="f64")))
    with pytest.raises(Failure):
        LAWS["P160"](made(OnlyTheLastOfOperands), case, Judge(made(OnlyTheLastOfOperands)))


def test_operands_have_these_cases():
    assert "512 steps, heads" in operands(Scope((cells.lstm,), eager=True))
    assert "512 steps" in operands(Scope((cells.lstm,), eager=True, closed=True))


def test_a_right_backend_keeps_the_law():
    backend = Reference(precision="f32")
    LAWS["P172"](backend, remembering(case_of(cells.lstm, 512)), Judge(backend))


def test_there_are_faults_of_every_extent_in_every_place():
    names = [mutant.name for mutant in forgetting_mutants()]
    assert len(set(names)) == len(names) >= 50
    for steps in EXTENTS:
        for what in ("only the last", "reset in upper layers", "only the last in reverse halves", "gradient cut"):
            assert f"forgetting: {what}, {steps} steps" in names


@pytest.mark.parametrize("name", ["only the last, 400 steps", "cut to sixteen bits, 400 steps",
                                  "gradient cut, 400 steps", "no later input, 48 steps",
                                  "initial ignored, 400 steps"])  # fmt: skip
def test_a_fault_of_long_sequences_is_told_without_the_oracle(name):
    mutant = next(m for m in forgetting_mutants() if m.name == f"forgetting: {name}")
    backend = mutant.make(Reference(precision="f32"))
    with pytest.raises(Failure):
        LAWS["P172"](backend, remembering(case_of(cells.lstm, 512)), Judge(backend))


def test_a_network_that_forgets_hides_such_a_fault():
    mutant = next(m for m in forgetting_mutants() if m.name == "forgetting: only the last from zeros, 400 steps")
    forgets = case_of(cells.lstm, 512)
    wrong, right = (ask(backend, forgets).run() for backend in (mutant.make(Reference()), Reference()))
    np.testing.assert_allclose(wrong.outputs[-1], right.outputs[-1], rtol=1e-6)


def test_values_that_bend_at_every_step_are_told_by_a_smaller_one():
    """This cell's values turn twice within the usual step, so that its two differences agree with each other alone."""
    gains = [("U.u", 2.0148, 0.0), ("U.w", 0.8737, 0.0), ("p.n", 1.0, -0.0483), ("p.nu", 1.1821, 1.8306),
             ("p.z", 0.9644, -1.4816), ("p.zeta", 0.5811, 5.5303)]  # fmt: skip
    known = tuple(Gain(f"layers.0.forward.{name}", factor, shift) for name, factor, shift in gains)
    case = Case(Network(2, [Layer(cells.fastgrnn, 3)]), 64, 2, seed=2, gains=known)
    reproduce("P172", case, "numpy", precision="f64", device="cpu")


def test_the_figures_measure_a_case_that_is_called_without_a_state(figures):
    figure = figures("remembering")
    unset = Case(Network(2, [Layer(cells.lstm, 3)]), 7, 2, (7, 3), unset=True)
    assert figure.is_measured(figure.whole(unset))
    assert not memory(figure.whole(unset)).unread
