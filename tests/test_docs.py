"""Every Python block of the README and of the docs runs, and gives the output that it shows."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python( source=(?P<source>\S+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(page):
    """The blocks of a page: line number, the file that the block includes if it does, and the text."""
    text = page.read_text()
    return [(text[: m.start()].count("\n") + 1, m["source"], m["code"]) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_as_one_session_and_give_the_output_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared, failures = {"__name__": page.stem}, []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for line, source, code in blocks(page):
        if source is None:
            test = doctest.DocTestParser().get_doctest(code, shared, page.name, str(page), line)
            assert test.examples, f"{page.name}, line {line}: a Python block without >>> runs nothing"
            runner.run(test, out=failures.append, clear_globs=False)
            shared = test.globs
    assert not failures, "".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_included_source_is_the_file_word_for_word(page):
    for line, source, code in blocks(page):
        if source is not None:
            assert code == (ROOT / source).read_text(), f"{page.name}, line {line}: {source} has changed; paste it again"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing
