"""rnnspec's own errors: one base class, one grammar, and the built-in kinds that callers already catch."""

from __future__ import annotations

import pickle

import pytest

from rnnspec import errors

EVERY = [getattr(errors, name) for name in errors.__all__]
KINDS = {
    "EquationError": TypeError, "NetworkError": ValueError, "ArgumentError": TypeError, "DtypeError": TypeError,
    "DeviceError": TypeError, "ShapeError": ValueError, "TreeError": ValueError, "LengthsError": ValueError,
    "InputError": ValueError, "TargetError": ValueError,
    "NonFiniteError": ArithmeticError, "FileFormatError": ValueError, "UnsupportedError": NotImplementedError,
    "WorkerError": RuntimeError, "BackendError": RuntimeError, "UnknownBackend": LookupError,
    "BackendUnavailable": RuntimeError, "BackendConflict": RuntimeError,
    "IncompatibleBackend": RuntimeError, "BrokenBackend": RuntimeError, "RnnSpecError": Exception,
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
class TestEvery:
    def test_it_is_an_rnnspec_error_and_of_a_built_in_kind(self, kind):
        assert issubclass(kind, errors.RnnSpecError)
        assert issubclass(kind, KINDS[kind.__name__])

    def test_its_parts_make_its_words(self, kind):
        error = kind("run(...)", "inputs must be arrays", "a list", "convert it")
        assert str(error) == "run(...): inputs must be arrays, got a list; convert it"
        assert (error.call, error.must, error.got, error.do) == (
            "run(...)",
            "inputs must be arrays",
            "a list",
            "convert it",
        )

    def test_it_goes_to_another_process_and_back(self, kind):
        error = kind("run(...)", "must", "got", "do")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert (str(again), again.call, again.do) == (str(error), "run(...)", "do")

    def test_it_stands_in_the_tree_of_the_page(self, kind):
        assert kind.__name__ in errors.__doc__


def test_every_error_class_is_public():
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(errors.__all__) == set(KINDS)
