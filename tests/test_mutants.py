"""The mutants are faults, the suite tells them, and what is called equivalent is proved."""

import json
import re
from itertools import product
from pathlib import Path

import pytest

from conformance.findings.known import read
from conformance.mutants import mutants
from conformance.mutants.census import mutants_of_cell
from conformance.mutants.derived.equations import equation_mutants
from conformance.mutants.derived.functions import function_mutants
from conformance.mutants.derived.rewrite import (
    Rewrite,
    canonical_adjoint,
    canonical_graph,
    rewrite_adjoint,
    rewrite_graph,
)
from conformance.mutants.self_test import DEPTHS, Reference, kill, killed_by
from conformance.mutants.trial import labels
from conformance.registry import properties
from rnnspec import Mutant, cells
from rnnspec.derivation.schedule import schedule

SELF_TEST = Path(__file__).parents[1] / "docs/figures/self-test.json"
FIGURES = json.loads(SELF_TEST.read_text(encoding="utf-8"))["self_test"]
ALL = mutants()
LAWS = {law.id: law for law in properties()}


def exchanged(builder, args):
    return builder.add("add", args[::-1])


def negated(builder, args):
    return builder.add("negate", (builder.add("add", args),))


def test_there_are_enough_of_every_kind():
    names = [mutant.name for mutant in ALL]
    assert len(set(names)) == len(names)
    for kind in ("(forward)", "(backward)", "(both)", "(adjoint)", "(schedule)"):
        assert sum(name.endswith(kind) for name in names) >= 30, kind
    protocol = ("states lengths steps cotangents losses alignments numbers memory paths policies rules guards counters "
                "readings governed few resets")  # fmt: skip
    for kind in protocol.split():
        assert sum(name.startswith(f"{kind}:") for name in names) >= 5, kind
    assert all(re.fullmatch(r"[A-Z`\d].*\.", mutant.says, re.DOTALL) for mutant in ALL)


def test_the_data_have_the_sentences_of_the_mutants():
    sentences = {mutant.name: mutant.says for mutant in ALL}
    remembered = [(fault.name, fault.says) for fault in read()]
    figures = [(fault["name"], fault["says"]) for fault in FIGURES["matrix"]["faults"]]
    for name, says in (*remembered, *figures):
        assert says == sentences[name], "run `make self-test`"


def test_the_figures_are_of_these_mutants_and_none_survives():
    assert FIGURES["mutants"] == len(ALL)
    assert FIGURES["survivors"] == []
    assert FIGURES["killed"] + len(FIGURES["equivalent"]) == len(ALL)
    assert len(FIGURES["equivalent"]) <= 0.05 * len(ALL)
    assert FIGURES["oracle_free"] >= 0.8 * FIGURES["killed"]


@pytest.mark.parametrize("part", range(8))
def test_the_law_that_told_a_mutant_tells_it_still(part):
    alive = []
    for mutant in ALL[part::8]:
        law, label = FIGURES["kills"][mutant.name]
        backend = mutant.make(Reference())
        if not any(killed_by(backend, LAWS[law], label, examples) for examples in DEPTHS):
            alive.append(mutant.name)
    assert alive == []


def test_a_right_backend_is_no_mutant():
    right = Mutant("right", "nothing is wrong", lambda backend: Reference(backend.device, backend.precision))
    laws = [law for law in LAWS.values() if law.id in ("P04", "P15", "P26", "P30")]
    assert kill(right, laws) is None


def test_a_fault_of_few_cells_is_told_on_networks_of_these_cells():
    mutant = next(m for m in ALL if m.name == "few: every state is cut")
    declared = mutant.make(Reference()).capabilities.cells
    found = kill(mutant, [LAWS["P85"]])
    assert (found.law, found.label, found.raised) == ("P85", "seams", False)
    assert "mingru" not in labels(LAWS["P11"], mutant, declared)
    assert sorted(labels(LAWS["P11"], mutant, declared)) == sorted(cell.name for cell in declared)


@pytest.mark.parametrize("mutant", list(function_mutants()), ids=lambda mutant: mutant.name)
def test_a_wrong_function_is_told_by_the_cell_with_every_function(mutant):
    found = kill(mutant, [LAWS["P121"]])
    assert (found.law, found.label, found.raised) == ("P121", "every function", False)


def test_an_exception_tells_a_mutant():
    def broken(backend):
        class Broken(Reference):
            def layer(self, *asked):
                raise ZeroDivisionError

        return Broken()

    found = kill(Mutant("broken", "it raises", broken), [LAWS["P15"]])
    assert found is not None
    assert found.raised


def test_exchanged_terms_are_proved_equivalent_and_a_sign_is_not():
    graph = cells.lstm.graph
    place = next(i for i, node in enumerate(graph.nodes) if node.op == "add")
    assert canonical_graph(rewrite_graph(graph, Rewrite("", place, exchanged))) == canonical_graph(graph)
    assert canonical_graph(rewrite_graph(graph, Rewrite("", place, negated))) != canonical_graph(graph)


def test_the_same_holds_for_an_adjoint():
    adjoint = schedule(cells.gru).adjoint
    adds = [i for i, node in enumerate(adjoint.nodes) if i >= adjoint.forward and node.op == "add"]
    for place in adds[:1]:
        assert canonical_adjoint(rewrite_adjoint(adjoint, Rewrite("", place, exchanged))) == canonical_adjoint(adjoint)
        assert canonical_adjoint(rewrite_adjoint(adjoint, Rewrite("", place, negated))) != canonical_adjoint(adjoint)


def test_a_mutant_of_one_cell_leaves_the_others_alone():
    mutant = next(iter(equation_mutants(cells.lstm)))
    backend, right = mutant.make(Reference()), Reference()
    values = LAWS["P01"]
    assert killed_by(backend, values, "gru", 2) is None
    assert killed_by(right, values, "lstm", 2) is None
    assert killed_by(backend, values, "lstm", 2) == "fail"


@pytest.mark.parametrize("cell", [cells.brc, cells.slstm, cells.nas], ids=lambda cell: cell.name)
def test_the_laws_on_published_cells_tell_what_is_wrong_with_one_of_them(cell):
    """The mutants of these cells are in no list: nearly all would be of kinds that other cells have."""
    laws, generated = [LAWS["P123"], LAWS["P124"]], [m for m in mutants_of_cell(cell) if not m.twin]
    chosen = generated[:: len(generated) // 12]
    alive = {mutant.name for mutant in chosen}
    for mutant, law in product(chosen, laws):
        (label,) = labels(law, mutant)
        if killed_by(mutant.make(Reference()), law, label, 2):
            alive -= {mutant.name}
    assert len(chosen) >= 12
    assert not alive
