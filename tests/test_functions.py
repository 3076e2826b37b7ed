"""The elementwise functions of every backend at odd numbers: rounding, overflow, NaN and infinities."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from conformance.oracle.error_function import erf

UNIT = {"f32": 2.0**-24, "f64": 2.0**-53}


def _apply(name):
    def function(backend, *arrays):
        return backend.arrays.functions[name](*arrays), None

    return function


ODD = np.array([-np.inf, -1e4, -90.0, -1.5, -1e-3, -0.0, 0.0, 1e-3, 1.5, 90.0, 1e4, np.inf, np.nan])
with np.errstate(all="ignore"):
    PRIMITIVES = {
        "tanh": np.tanh,
        "sigmoid": lambda a: np.where(a < 0, np.exp(a) / (1 + np.exp(a)), 1 / (1 + np.exp(-a))),
        "relu": lambda a: np.where(a <= 0, 0, a),
        "softplus": lambda a: np.where(a == np.inf, a, np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))),
        "exp": np.exp,
        "log": np.log,
        "sqrt": np.sqrt,
        "cos": np.cos,
        "sin": np.sin,
        "erf": erf,
        "stop": np.positive,
        "negate": np.negative,
    }
PAIRED = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
          "minimum": np.minimum}  # fmt: skip


@pytest.mark.parametrize("name", [*PRIMITIVES, *PAIRED])
def test_primitives_at_odd_numbers(either, name):
    """Four units in the last place, and NaN and infinities where the mathematics has them."""
    operands = [ODD] if name in PRIMITIVES else [a.ravel() for a in np.meshgrid(ODD, ODD)]
    kind = {"f32": np.float32, "f64": np.float64}[either.precision]
    operands = [a.astype(kind) for a in operands]
    got, _ = either.program(_apply(name))(*(either.from_numpy(a) for a in operands))
    with np.errstate(all="ignore"):
        right = (PRIMITIVES | PAIRED)[name](*(a.astype(np.longdouble) for a in operands)).astype(kind)
    unit = UNIT[either.precision]
    np.testing.assert_allclose(either.to_numpy(got), right, rtol=8 * unit, atol=4 * unit)


def test_the_error_function_of_a_number_whose_square_overflows_is_one(either):
    largest = {"f32": 3e38, "f64": 1e308}[either.precision]
    a = np.array([largest, -largest, 1.1 * largest**0.5, 30.0, -6.0], {"f32": np.float32}.get(either.precision, float))
    got, _ = either.program(_apply("erf"))(either.from_numpy(a))
    np.testing.assert_array_equal(either.to_numpy(got), [1, -1, 1, 1, -1])


LARGE = (3.14159265, 1e3, 123456.0, 1e6, -16777216.0, 1e10, -1e22, 1e30)


@pytest.mark.parametrize("name", ["cos", "sin"])
def test_the_turns_of_a_large_argument_are_taken_off_exactly(either, name):
    """Within two units of 1, also where a unit of the argument is many turns, and near a multiple of pi."""
    a = np.array(LARGE, {"f32": np.float32, "f64": np.float64}[either.precision])
    got, _ = either.program(_apply(name))(either.from_numpy(a))
    with mpmath.workdps(60):
        right = [float(getattr(mpmath, name)(mpmath.mpf(float(number)))) for number in a]
    np.testing.assert_allclose(either.to_numpy(got), right, rtol=0, atol=4 * UNIT[either.precision])
