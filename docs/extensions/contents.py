"""The navigation entries of generated pages.

The page of a folder's name, or the folder's index, links to the pages of the folder, which have no entries of their
own: every page repeats all entries, and so many would take most of the time of a build. An entry that ends in `*` is
left out where no page has its name.
Pages without entries have the navigation of their folder, which is made once.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from docutils.nodes import document
from sphinx.application import Sphinx

WITHOUT_ENTRY = "---\norphan: true\n---\n\n"

MAYBE = re.compile(r"^(\S+)\*\n", re.MULTILINE)


def drop_absent(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "index":
        source[0] = MAYBE.sub(lambda m: m[0] if any(Path(app.srcdir).glob(f"{m[1]}*.md")) else "", source[0])


def leave_out(app: Sphinx, docname: str, source: list[str]) -> None:
    page = Path(app.srcdir, docname)
    has_index = page.parent.with_suffix(".md").exists() or (page.parent / "index.md").exists()
    if "/" in docname and page.stem != "index" and has_index:
        source[0] = WITHOUT_ENTRY + source[0]


class Navigation:
    """The navigation of each folder's pages without an entry, by the options that the theme asks for."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}

    def share(
        self, app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: document | None
    ) -> None:
        """Let pages without an entry, where nothing is marked as the current page, take what the first one made."""
        env, make = app.env, context["toctree"]
        if pagename in {app.config.root_doc}.union(*env.toctree_includes.values()):
            return

        def shared(**options: Any) -> Any:
            key = (PurePosixPath(pagename).parent, *sorted(options.items()))
            if key not in self._made:
                self._made[key] = make(**options)
            return self._made[key]

        context["toctree"] = shared


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", drop_absent)
    app.connect("source-read", leave_out)
    app.connect("html-page-context", Navigation().share, priority=400)  # the theme's own has 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
