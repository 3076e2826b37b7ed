"""The pieces of `python -m tests.stress` can fail: backends with known faults do, and sound ones do not."""

from __future__ import annotations

import pytest

from conformance.mutants.control import guards, policies, rules
from conformance.mutants.faulty import protocol_mutants
from tests.stress import policies as piece
from tests.stress.thresholds import DRAWS

MUTANTS = {mutant.name.split(": ")[1]: mutant
           for module in (guards, policies, rules) for mutant in protocol_mutants(module)}  # fmt: skip
FAULTS = (
    ("value from above only", "ClipByValue"), ("value launders", "ClipByValue"), ("norm is global", "ClipByNorm"),
    ("global norm per map", "ClipByGlobalNorm"), ("global norm with epsilon", "ClipByGlobalNorm"),
    ("global norm launders", "ClipByGlobalNorm"), ("global norm zero by zero", "ClipByGlobalNorm"),
    ("units add epsilon", "ClipByUnitNorm"), ("zeroes only nan", "ZeroNonFinite"),
    ("skips uncounted", "SkipNonFinite"), ("scale stays", "ScaleLoss, a scale that follows"),
    ("never unscales", "ScaleLoss, a scale that stays"), ("holds frobenius", "HoldSpectralNorm"),
    ("steps counted from one", "Truncated"), ("no state is cut", "Cut, one state"), ("recurrence ignored", "Cut"),
    ("norms doubled", "ClipStateByNorm"), ("joint norms taken apart", "ClipStateByNorm, joint"),
    ("recurrence ignored", "ClipStateByValue"),
)  # fmt: skip


def judged(policy, opened, count):
    tally = piece.Tally(backends={"judged": piece.Count()})
    piece.drawn(policy, {"judged": opened}, count, 0, tally)
    piece.edged(policy, {"judged": opened}, tally)
    assert tally.within + tally.beyond == count
    return tally.backends["judged"]


@pytest.fixture(scope="module")
def sound(open_backend):
    return {precision: open_backend("numpy", precision) for precision in piece.PRECISIONS}


@pytest.mark.parametrize("policy", DRAWS)
def test_a_sound_backend_does_not_fail(policy, sound):
    found = judged(policy, sound, 5)
    assert (found.failed, found.edges_failed) == (0, 0)


@pytest.mark.parametrize(("fault", "policy"), FAULTS)
def test_a_faulty_policy_fails(fault, policy, sound):
    found = judged(policy, {name: MUTANTS[fault].make(backend) for name, backend in sound.items()}, 10)
    assert found.failed + found.edges_failed > 0
