"""The navigation entries of generated pages.

The pages of a folder stand under the page of the folder's name, or under the folder's index, without a list. An entry
that ends in `*` is left out where no page has its name.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

CONTENTS = "\n\n```{toctree}\n:hidden:\n:glob:\n\n%s/*\n```\n"

MAYBE = re.compile(r"^(\S+)\*\n", re.MULTILINE)


def drop_absent(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "index":
        source[0] = MAYBE.sub(lambda m: m[0] if any(Path(app.srcdir).glob(f"{m[1]}*.md")) else "", source[0])


def list_folder(app: Sphinx, docname: str, source: list[str]) -> None:
    own = docname.removesuffix("/index") if docname.endswith("/index") else docname
    folder = Path(app.srcdir, own)
    if any(page.stem != "index" for page in folder.glob("*.md")) and "{toctree}" not in source[0]:
        source[0] += CONTENTS % f"/{own}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", drop_absent)
    app.connect("source-read", list_folder)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
