"""A link to a folder leads to its README, as on GitHub; a README stands in no list of contents."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(r"\]\(([\w./-]+)\)")


def lead(app: Sphinx, docname: str, source: list[str]) -> None:
    page = Path(app.srcdir, docname)
    source[0] = LINK.sub(lambda m: f"]({m[1]}/README.md)" if (page.parent / m[1] / "README.md").exists() else m[0],
                         source[0])  # fmt: skip
    if page.name == "README":
        source[0] = f"---\norphan: true\n---\n{source[0]}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", lead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
