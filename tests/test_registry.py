"""Properties are found by looking, and judged by examples that follow from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st

import rnnspec
from conformance.properties.networks import cells
from conformance.registry import Scope, collect, law, properties
from conformance.running.examination import SHRINKS, Examination
from conformance.statements import Statement
from rnnspec.errors import UnsupportedError

BACKEND = rnnspec.Backend(None, "f64")
EXAMPLE = Statement("P99", "an example", "It is a law for a test.", "It fails.", "Look here.")


@dataclass(frozen=True)
class Number:
    """A case that is nothing but a number."""

    value: int


def judged(check, cases=None, examples=20, seed=0, xfail=None, needs=(), backend=BACKEND):
    drawn = cases or (lambda scope: {"here": st.integers(0, 1000).map(Number)})
    made = law(EXAMPLE, cases=drawn, needs=needs)(check)
    return Examination(backend, Scope(()), seed, examples).judge(made, xfail)


def seen(seed, **options):
    numbers = []
    judged(lambda backend, case, judge: numbers.append(case.value), seed=seed, **options)
    return numbers


def below_500(backend, case, judge):
    judge.holds("the number", case.value < 500, case.value, "less than 500")


def test_every_property_has_an_id_of_its_own_a_statement_and_a_label():
    found = properties()
    assert len({p.id for p in found}) == len(found) > 30
    scope = Scope(tuple(v for v in vars(rnnspec.cells).values() if isinstance(v, rnnspec.Cell)), eager=True)
    for p in found:
        assert p.says
        assert p.cases(scope), p.id


def test_an_id_twice_and_an_unknown_need_are_errors():
    one, two = (law(replace(EXAMPLE, id="P1", says=says), cases=dict)(print) for says in ("one", "two"))
    with pytest.raises(ValueError, match="P1 twice"):
        collect([one, two])
    with pytest.raises(ValueError, match="speed"):
        law(EXAMPLE, cases=dict, needs=("speed",))


def test_examples_follow_from_the_seed():
    assert seen(0) == seen(0)
    assert seen(0) != seen(1)
    assert len(seen(0)) == 20


@pytest.mark.parametrize(("oracle", "brief", "labels", "one", "other"), [
    (False, False, None, "abcd", "abcd"), (False, False, 2, "a or c", "b or d"), (True, True, 2, "ac", "bd"),
    (True, False, 2, "abcd", "abcd"),
])  # fmt: skip
def test_precisions_share_the_labels_of_a_law(oracle, brief, labels, one, other):
    numbers = {"a": 1, "b": 2, "c": 3, "d": 4}
    made = law(EXAMPLE, oracle=oracle, cases=lambda scope: {
        label: st.just(Number(value)) for label, value in numbers.items()
    })(lambda backend, case, judge: None)  # fmt: skip
    for part, expected in enumerate((one, other)):
        scope = Scope((), brief=brief, share=(part, 2))
        judged = "".join(Examination(BACKEND, scope, examples=1, labels=labels).judge(made).labels)
        assert judged in expected.split(" or ")


def test_a_law_of_one_label_is_judged_in_every_precision():
    made = law(EXAMPLE, cases=lambda scope: {"here": st.just(Number(7))})(lambda *_: None)
    for part in range(2):
        assert Examination(BACKEND, Scope((), brief=True, share=(part, 2))).judge(made).labels == {"here": "pass"}


def test_a_strategy_of_one_case_is_judged_on_it():
    assert seen(0, cases=lambda scope: {"here": st.just(Number(7))}) == [7]


def test_a_failure_is_shrunk_for_a_moment_and_shown():
    calls = []

    def check(backend, case, judge):
        calls.append(case.value)
        below_500(backend, case, judge)

    found = judged(check)
    first = next(i for i, value in enumerate(calls) if value >= 500)
    assert found.status == "fail"
    assert len(calls) <= first + 1 + SHRINKS + 1
    assert found.evidence["expected"] == "less than 500"
    assert f"case = Number(value={found.evidence['got']})" in found.reproducer


def test_the_failure_that_is_shown_is_shrunk_though_a_later_label_failed_before():
    drawn = {"small": st.integers(500, 10**6).map(Number), "large": st.integers(10**6, 10**9).map(Number)}
    made = law(EXAMPLE, cases=lambda _: drawn)(below_500)
    pasted = []
    for labels in (("small", "large"), ("large", "small")):
        inquiry = Examination(BACKEND, Scope(()), examples=1).inquire(made)
        inquiry.ask(labels)
        pasted.append(inquiry.finding().reproducer)
    assert pasted[0] == pasted[1]


def test_a_finding_is_stated_and_explained_where_it_fails():
    texts = [(f.name, f.says, f.failure, f.first) for f in (judged(below_500), judged(lambda *_: None))]
    assert texts[0] == ("an example", "It is a law for a test.", "It fails.", "Look here.")
    assert texts[1] == ("an example", "It is a law for a test.", "", "")


def test_what_a_check_raises_is_an_error():
    def check(backend, case, judge):
        raise RuntimeError("no such kernel")

    found = judged(check)
    assert found.status == "error"
    assert "no such kernel" in found.evidence["got"]


def test_a_broken_strategy_is_an_error():
    def broken(value):
        raise RuntimeError("no such case")

    found = judged(below_500, lambda scope: {"here": st.integers().map(broken)})
    assert found.status == "error"
    assert "no such case" in found.why


def test_a_need_that_is_not_declared_is_unsupported():
    class Plain(rnnspec.Backend):
        capabilities = rnnspec.Capabilities(gradients=False)

    assert judged(below_500, needs=("gradients",), backend=Plain(None, "f64")).status == "unsupported"


def refusing(capabilities):
    class Refusing(rnnspec.Backend):
        def layer(self, *_):
            raise UnsupportedError("layer(...)", "it must be there", "nothing", "leave it out")

    Refusing.capabilities = capabilities
    return Refusing(None, "f64")


def test_a_refusal_is_no_answer_of_a_backend_that_declares_everything():
    def check(backend, case, judge):
        backend.layer()

    lacking, whole = rnnspec.Capabilities(empty_rows=False), rnnspec.Capabilities()
    assert judged(check, backend=refusing(lacking)).status == "unsupported"
    assert judged(check, backend=refusing(whole)).status == "error"


def test_a_backend_without_lengths_is_judged_on_full_rows():
    lengths = []

    def check(backend, case, judge):
        lengths.append(case.lengths)

    backend = refusing(rnnspec.Capabilities(lengths=False))
    elman = Scope((rnnspec.cells.elman,))
    found = judged(check, lambda scope: cells(elman), 3, needs=("lengths",), backend=backend)
    assert found.status == "pass"
    assert lengths == [(7, 7, 7, 7, 7)] * 3


def test_a_precondition_that_nothing_meets_leaves_the_property_out():
    def check(backend, case, judge):
        judge.applies(False, "never")

    found = judged(check)
    assert (found.status, found.why) == ("not_applicable", "never")


def test_an_expected_failure_is_strict():
    assert judged(below_500, xfail="known").status == "xfail"
    holds = judged(lambda backend, case, judge: None, xfail="known")
    assert holds.status == "fail"
    assert "known" in holds.why
