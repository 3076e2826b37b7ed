"""The suite as a pytest class: what it runs, what fails, and what a subclass may not do."""

import textwrap

import pytest

from conformance.registry import properties
from conformance.testing import BackendSuite

pytest_plugins = ("pytester",)

SUITE = """
    import pytest
    from conformance.selection import Selection
    from conformance.testing import BackendSuite
    from rnnspec import Backend, Capabilities

    class Theirs(Backend):
        name = "theirs"
        {body}

    class TestTheirs(BackendSuite):
        selection = Selection("smoke", cells=("elman",), only=("P01", "P03", "P61-framework"))
        {xfails}

        @pytest.fixture(scope="class")
        @classmethod
        def backend(cls):
            return Theirs(precision="f64")
"""
FORGETFUL = """
        def layer(self, cell, params, inputs, state, *rest):
            return super().layer(cell, params, inputs, {name: 0 * s for name, s in state.items()}, *rest)
"""


def outcomes(pytester, body="pass", xfails=""):
    pytester.makepyfile(textwrap.dedent(SUITE.format(body=body, xfails=xfails)))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    found = result.parseoutcomes()
    return {name: n for name, n in found.items() if name != "warnings"}, result


def test_a_right_backend_passes(pytester):
    found, _ = outcomes(pytester)
    assert found == {"passed": 2, "skipped": len(properties()) - 2}


def test_a_wrong_backend_fails_with_the_code_that_shows_it(pytester):
    found, result = outcomes(pytester, FORGETFUL)
    assert found["failed"] >= 1
    result.stdout.fnmatch_lines(["*conformance.reproduce*"])


def test_what_must_fail_and_does_is_expected(pytester):
    found, _ = outcomes(pytester, FORGETFUL, 'xfails = {"P01": "it forgets its state"}')
    assert found["xfailed"] == 1
    assert "failed" not in found


def test_what_must_fail_and_holds_is_a_failure(pytester):
    found, result = outcomes(pytester, xfails='xfails = {"P01": "it forgets its state"}')
    assert found["failed"] == 1
    result.stdout.fnmatch_lines(["*take it off the list*"])


def test_what_is_not_declared_is_skipped_with_the_reason(pytester):
    found, _ = outcomes(pytester, "capabilities = Capabilities(gradients=False)")
    assert found == {"passed": 1, "skipped": len(properties()) - 1}


def test_a_suite_without_a_backend_says_what_to_give(pytester):
    pytester.makepyfile("from conformance.testing import BackendSuite\nclass TestTheirs(BackendSuite):\n    pass\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "P01").stdout.fnmatch_lines(["*give a fixture*"])


def test_the_tests_cannot_be_overridden():
    with pytest.raises(TypeError, match="must stay as they are"):
        type("Theirs", (BackendSuite,), {"test_property": lambda self: None})


@pytest.mark.parametrize("xfails", [{"P999": "no such law"}, {"P01": " "}])
def test_what_must_fail_is_named_with_a_reason(xfails):
    with pytest.raises(TypeError, match="xfails must map"):
        type("Theirs", (BackendSuite,), {"xfails": xfails})
