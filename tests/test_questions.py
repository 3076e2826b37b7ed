"""Faults that a stranger's backend may have, in calls that few make, are told by the laws that ask for them."""

import pytest

from conformance.mutants.calls import leftovers, spans
from conformance.mutants.faulty import protocol_mutants
from conformance.mutants.learning import alignments, nothing, training
from conformance.mutants.ranges import small, vanishing
from conformance.mutants.self_test import kill
from conformance.mutants.sequences import reach
from conformance.registry import properties

LAWS = {law.id: law for law in properties()}
ASKED = {
    spans: ("P113-refused", "P113"),
    training: ("P112", "P62-update", "P111"),
    leftovers: ("P114", "P114-loss"),
    nothing: ("P116",),
    vanishing: ("P115-loss", "P115"),
    reach: ("P110", "P10"),
    small: ("P117",),
}
BETWEEN = ("alignments: middle blank is the last", "alignments: classes behind the blank turned")
CASES = [(mutant, laws) for module, laws in ASKED.items() for mutant in protocol_mutants(module)]
CASES += [(mutant, ("P91", "P90")) for mutant in protocol_mutants(alignments) if mutant.name in BETWEEN]


@pytest.mark.parametrize(("mutant", "laws"), CASES, ids=lambda given: getattr(given, "name", ""))
def test_a_law_tells_the_fault(mutant, laws):
    assert kill(mutant, [LAWS[law] for law in laws], depths=(2,)) is not None
