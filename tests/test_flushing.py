"""A backend may lose what is below the smallest normal number of its precision: it is right, and the laws say so."""

import numpy as np
import pytest

from conformance.cases import CELLS
from conformance.mutants.self_test import Reference
from conformance.oracle.arithmetic import Rounding
from conformance.own_cell import leaky_gate
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from conformance.tolerance import PROFILES, reference
from rnnspec.contract.arrays import NumpyArrays
from rnnspec.contract.capabilities import DTYPES

LAWS = {law.id: law for law in properties()}
SMALL = ("P03", "P16", "P45", "P48", "P67", "P68", "P68-loss", "P97", "P110", "P115", "P117")
"""Those that ask for small numbers, or that get them: of long ways back, of saturated gates."""


def flushed(a):
    if not isinstance(a, np.ndarray | np.floating) or a.dtype.kind != "f":
        return a
    return np.where(np.abs(a) < np.finfo(a.dtype).tiny, a.dtype.type(0), a)


def flushing(function):
    return lambda *operands: flushed(function(*map(flushed, operands)))


class FlushingArrays(NumpyArrays):
    """Takes what is below the smallest normal number for zeros wherever it stands: operands and results."""

    def __init__(self, dtype):
        super().__init__(dtype)
        self.functions = {name: flushing(function) for name, function in self.functions.items()}

    def matmul(self, a, b):
        return flushed(flushed(a) @ flushed(b))

    def projection(self, maps, rows):
        return lambda a: self.matmul(a, maps.T)

    def sum(self, a, axes, keep):
        return flushed(super().sum(flushed(a), axes, keep))


class Flushing(Reference):
    """As a processor that is told to."""

    def make_arrays(self):
        return FlushingArrays(DTYPES[self.precision])


@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("law", SMALL)
def test_a_backend_that_flushes_subnormal_numbers_is_right(law, precision):
    scope = Scope((*CELLS.values(), leaky_gate), brief=True, share=(0, 3))
    finding = Examination(Flushing(precision=precision), scope, examples=1, labels=4).judge(LAWS[law])
    assert finding.status == "pass", finding


@pytest.mark.parametrize("precision", PROFILES)
def test_the_yardstick_is_never_smaller_than_what_underflow_may_take(precision):
    profile = PROFILES[precision]
    product = reference(profile, lambda arithmetic: {"": _halved(arithmetic, profile.tiny)})
    assert profile.lost <= product.tau()[""] <= 4 * max(profile.lost, profile.unit * profile.tiny)
    assert profile.lost == profile.tiny or profile.lost == profile.tiny * profile.unit


def _halved(arithmetic, number):
    rounding = Rounding(arithmetic)
    return rounding.multiply(rounding.array(np.full((rounding.runs, 1, 1), number)), 0.5)
