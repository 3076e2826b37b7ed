"""The laws hold for a right backend in both precisions, and each of them can fail."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from hypothesis.strategies import just

import rnnspec
from backends.planning.phases import under_xla
from backends.torch_backend import products
from conformance.cases import CELLS, Case
from conformance.mutants import mutants
from conformance.mutants.calls import paths
from conformance.mutants.self_test import Reference, kill
from conformance.own_cell import leaky_gate
from conformance.properties import extents, networks
from conformance.properties.equations.parity import symmetry
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec import Last, Layer, Network, cells
from rnnspec.derivation.schedule import schedule
from rnnspec.losses import SquaredError

SELF_TEST = Path(__file__).parents[1] / "docs/figures/self-test.json"
FIGURES = json.loads(SELF_TEST.read_text(encoding="utf-8"))["self_test"]
LAWS = {law.id: law for law in properties()}
SCOPE = Scope((*CELLS.values(), leaky_gate))
PRECISIONS = ("f32", "f64")
"""They share the labels of every law."""


class WithKernels(paths.KernelRunsUnasked, Reference):
    """The lowering, called a kernel too, and run where it is asked for."""

    runner = rnnspec.Backend.runner


class WithWitness(paths.FrameworkForgetsFinalState, Reference):
    """The derived adjoint stands in for a framework's differentiation."""

    pullback = rnnspec.Backend.pullback

    def through(self, path):
        return super().through(rnnspec.Path.GENERIC)


class InParallel(Reference):
    """The lowering, and time in parallel where it is asked for."""

    capabilities = replace(Reference.capabilities, paths=(rnnspec.Path.GENERIC, rnnspec.Path.PARALLEL))


SUBJECTS = {"P61-generic": WithKernels, "P61-native": WithKernels, "P61-framework": WithWitness,
            **{law: InParallel for law in LAWS if law == "P61-parallel" or re.fullmatch(r"P15\d", law)}}  # fmt: skip
"""Laws of what the generic lowering alone does not have."""


@pytest.mark.parametrize(("part", "precision"), list(enumerate(PRECISIONS)), ids=str)
@pytest.mark.parametrize("law", LAWS)
def test_a_law_holds_for_a_right_backend(law, part, precision):
    subject = SUBJECTS.get(law, Reference)(precision=precision)
    scope = replace(SCOPE, brief=True, share=(part, len(PRECISIONS)))
    finding = Examination(subject, scope, examples=1).judge(LAWS[law])
    assert finding.status == "pass", finding


def test_every_law_was_seen_to_fail():
    assert sorted(FIGURES["laws"]) == sorted(LAWS)
    assert [law for law, victim in FIGURES["laws"].items() if not victim] == []


@cache
def by_name():
    """All mutants."""
    return {mutant.name: mutant for mutant in mutants()}


@pytest.mark.parametrize("law", LAWS)
def test_a_law_can_fail(law):
    victim = FIGURES["laws"][law]
    assert kill(by_name()[victim], [LAWS[law]]) is not None, victim


def test_whether_a_cell_is_odd_in_a_unit_is_read_from_its_graph():
    odd = {cell.name for cell in SCOPE.cells if symmetry(cell) is not None}
    assert odd == set(CELLS) - {"elman_relu"}


def test_a_law_applies_to_a_cell_of_ones_own():
    labels = {law.id for law in LAWS.values() if "leaky_gate" in law.cases(SCOPE)}
    assert {"P01", "P02", "P04", "P15", "P44", "P47"} <= labels


LAST = Network(3, [Layer(cells.lstm, 4), Layer(cells.elman, 2, "bidirectional")], Last(), loss=SquaredError())
"""Its outputs have no time, as deep cases may: their rows are the first axis."""
DEEP = replace(SCOPE, wide=True, eager=True)


@pytest.mark.parametrize("lengths", [(5, 0, 3), (5, 1, 3), None], ids=repr)
@pytest.mark.parametrize("law", [law for law in LAWS if "wild" in LAWS[law].cases(DEEP)])
def test_a_law_of_deep_cases_holds_where_outputs_have_no_time(law, lengths):
    alone = replace(LAWS[law], cases=lambda scope: {"last": just(Case(LAST, 5, 3, lengths, seed=5))})
    finding = Examination(Reference(precision="f32"), SCOPE, examples=1).judge(alone)
    without_padding = law == "P30" and lengths is None
    assert finding.status == ("not_applicable" if without_padding else "pass"), finding


def test_one_precision_is_asked_for_the_values_of_a_size_and_the_other_for_its_gradients():
    whole = replace(SCOPE, eager=True)
    sizes = set(extents.extents(whole, 0))
    assert sizes == set(extents.extents(replace(whole, wide=True, share=(0, 2)), 0))
    parts = [replace(whole, share=(part, 2)) for part in range(2)]
    values, gradients = ([sizes.intersection(asked(part)) for part in parts]
                         for asked in (networks.everything, networks.gradients))  # fmt: skip
    assert values[0] | values[1] == sizes
    assert not values[0] & values[1]
    assert gradients == [values[1], values[0]]
    for asked in values:  # with and without lengths, at every size
        assert 0.4 < sum("ragged" in label for label in asked) / len(asked) < 0.6
        assert {label.split()[0] for label in asked} == {label.split()[0] for label in sizes}


def test_deep_cases_are_longer_and_larger_than_16_bits_count():
    sizes = [(case.steps, case.batch, case.net.input_features) for labels in (networks.everything, networks.gradients)
             for label, strategy in labels(DEEP).items() if label in extents.vast(DEEP)
             for case in [hypothesis.find(strategy, lambda _: True)]]  # fmt: skip
    assert len(sizes) == 6
    assert [max(size) for size in zip(*sizes, strict=True)] == [4096, 65537, 65537]


def test_sizes_reach_what_backends_do_with_large_ones():
    shape = extents.LARGE_MAPS
    assert under_xla(schedule(cells.lstm), shape.batch, shape.hidden).columns
    for _, strategy in extents.large_maps(DEEP).items():
        case = hypothesis.find(strategy, lambda case: case.net.layers[0].cell is cells.lstm)
        assert (case.batch, case.net.layers[0].state_sizes["h"]) == (shape.batch, shape.hidden)
    largest = max(shape.batch * shape.hidden**2 for shape in extents.EXTENTS if shape.hidden**2 >= products.WIDE)
    assert largest >= products.LARGE
