"""Every law has a name, a sentence, what a failure means and what to look at first, in plain words; and a page."""

import re
import runpy
from pathlib import Path

import pytest

from conformance.registry import properties
from conformance.statements import THEMES

ROOT = Path(__file__).parents[1]
STATEMENTS = [statement for theme in THEMES for statement in theme.statements]
LONGEST = 30
BANNED = re.compile(r"\b(doors?|sides?|told|tells?|matters?|aims?|seams?|house|family|whole|judge[sd]?|nobody|"
                    r"everybody|to be had)\b", re.IGNORECASE)  # fmt: skip
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

each = pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.id)


@pytest.fixture(scope="module")
def generator():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return runpy.run_path(str(ROOT / "docs" / "law_pages.py"))


@each
def test_a_name_has_two_to_four_words(statement):
    assert 2 <= len(statement.name.split()) <= 4
    assert not statement.name.endswith(".")


@each
def test_a_law_is_one_sentence_of_few_words(statement):
    assert len(statement.says.split()) <= LONGEST
    assert re.fullmatch(r"(`|[A-Z])[^\n]*[^.]\.", statement.says)
    assert ". " not in statement.says


@each
def test_a_failure_and_what_to_look_at_first_are_explained(statement):
    for text, most in ((statement.failure, 3), (statement.first, 2)):
        assert re.fullmatch(r"[A-Z`][^\n]*[^.]\.", text)
        assert 1 <= len(re.findall(r"\.(?= [A-Z`]|$)", text)) <= most


@each
def test_texts_are_in_plain_words(statement):
    for text in (statement.name, statement.says, statement.failure, statement.first):
        assert not BANNED.search(text)


def test_names_ids_and_sentences_are_each_law_s_own():
    for field in ("id", "name", "says"):
        assert len({getattr(statement, field) for statement in STATEMENTS}) == len(STATEMENTS)


def test_every_statement_is_that_of_one_property():
    assert sorted(STATEMENTS, key=lambda statement: statement.id) == [law.statement for law in properties()]


def test_an_id_that_no_statement_has_is_a_key_error():
    with pytest.raises(KeyError, match="P999"):
        THEMES[0]["P999"]


def test_the_pages_are_what_the_statements_and_the_self_test_say(generator):
    written = {page.name: page.read_text() for page in (ROOT / "docs" / "laws").iterdir()}
    assert written == generator["pages"](), "run `make docs`"


def test_every_page_has_the_texts_of_its_law_and_the_command_that_runs_it(generator):
    pages = generator["pages"]()
    for law in properties():
        text = pages[f"{law.id}.md"]
        assert text.lower().startswith(f"# {law.name.lower()}\n")
        for part in (law.says, law.statement.failure, law.statement.first, f"--only {law.id}\n"):
            assert part in text
        assert f"]({law.id}.md)" in pages["index.md"]


def test_the_links_of_the_pages_lead_to_files_that_are_there(generator):
    for text in generator["pages"]().values():
        assert [link for link in LINK.findall(text) if not (ROOT / "docs" / "laws" / link).exists()] == []


def test_the_self_test_found_every_law_to_detect_the_fault_that_explains_it(generator):
    detected = generator["detected"]()
    assert all(detected[law.id] for law in properties())
    assert [law for law, fault in generator["TELLING"].items() if fault not in detected[law]] == []
