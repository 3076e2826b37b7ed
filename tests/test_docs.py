"""Every Python block of the README and of the docs runs, and gives the output that it shows."""

import doctest
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]
BLOCK = re.compile(r"(?<!-->\n)^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block that is no include."""
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(page):
    """The blocks of a page, with their lines."""
    text = page.read_text()
    return [(text[: m.start()].count("\n") + 1, m["code"]) for m in BLOCK.finditer(text)]


TRANSLATIONS = {"gradients.zh.md": "gradients.md", "tutorial.zh.md": "tutorial.md"}
"""Pages that have the very blocks of another one, which runs them."""
SESSIONS = [page for page in PAGES if page.name not in ("publish.md", *TRANSLATIONS)]
"""publish.md runs where what it builds is installed: test_publish.py."""


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_as_one_session_and_give_the_output_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared, failures = {"__name__": page.stem}, []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for line, code in blocks(page):
        test = doctest.DocTestParser().get_doctest(code, shared, page.name, str(page), line)
        assert test.examples, f"{page.name}, line {line}: a Python block without >>> runs nothing"
        runner.run(test, out=failures.append, clear_globs=False)
        shared = test.globs
    assert not failures, "".join(failures)


@pytest.mark.parametrize(("page", "original"), TRANSLATIONS.items())
def test_a_translation_has_the_blocks_of_its_page(page, original):
    code, expected = ([code for _, code in blocks(ROOT / "docs" / name)] for name in (page, original))
    assert code == expected
    assert code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_includes_is_what_it_is_now(page, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    included = runpy.run_path(str(ROOT / "docs" / "includes.py"))["included"]
    assert page.read_text() == included(page.read_text()), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing
